"""What sensors and codecs do to single frames: noise, blur, blocks, and parts that cannot be made out.

A clip made from one still is the same picture throughout, so its frames agree of themselves and a network
learns nothing from looking back. Worn frame by frame they disagree as footage does, and only the frames
before tell what a spoilt cell shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backends.core.errors import BadInput
from backends.core.types import Image


@dataclass(frozen=True)
class WearConfig:
    """How far a frame may be worn; every frame draws its own share of each. All zero: as it came."""

    noise: float = 0.0
    """Largest deviation of Gaussian noise, in shares of the range of a channel."""
    blur_px: float = 0.0
    """Largest deviation of a Gaussian blur."""
    blocks: float = 0.0
    """Share of frames that went through a JPEG of quality 8 to 50."""
    patches: float = 0.0
    """Largest share of the newest frame under smeared patches."""

    def __post_init__(self) -> None:
        for name in ("noise", "blur_px", "blocks", "patches"):
            if getattr(self, name) < 0:
                raise BadInput(f"clip.wear.{name} is {getattr(self, name)}; it must be 0 or more")

    @property
    def is_off(self) -> bool:
        """Whether frames stay as they came."""
        return not (self.noise or self.blur_px or self.blocks or self.patches)


def worn(image: Image, config: WearConfig, rng: np.random.Generator, *, newest: bool) -> Image:
    """(H, W, 3) uint8 RGB, worn by a draw of ``rng``; patches on the newest frame alone."""
    if config.is_off:
        return image
    seen = image
    if newest and config.patches:
        seen = _smeared(seen, config.patches * float(rng.random()), rng)
    if (sigma := config.blur_px * float(rng.random())) > 0.2:
        seen = np.asarray(cv2.GaussianBlur(seen, (0, 0), sigma), np.uint8)
    if config.noise:
        grain = rng.normal(0, 255 * config.noise * rng.random(), seen.shape).astype(np.float32)
        seen = np.clip(seen + grain, 0, 255).astype(np.uint8)
    if rng.random() < config.blocks:
        seen = _compressed(seen, int(rng.integers(8, 51)))
    return seen


def _smeared(image: Image, share: float, rng: np.random.Generator) -> Image:
    """About ``share`` of the picture replaced, patch by patch, by what a 16th of its size leaves of it."""
    height, width = image.shape[:2]
    coarse = cv2.resize(image, (max(1, width // 16), max(1, height // 16)), interpolation=cv2.INTER_AREA)
    smear = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    found, left = image.copy(), share * height * width
    while left > 0:
        rows, columns = (int(side * rng.uniform(0.05, 0.25)) + 1 for side in (height, width))
        top, start = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - columns + 1))
        part = slice(top, top + rows), slice(start, start + columns)
        found[part] = smear[part]
        left -= rows * columns
    return found


def _compressed(image: Image, quality: int) -> Image:
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None, "what was encoded here can be decoded"
    return np.asarray(decoded[..., ::-1], np.uint8)
