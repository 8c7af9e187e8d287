"""Views of a frame for training: where a crop looks, and how light falls on it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.core.types import Image
from backends.video_semantic.scenes import IGNORE, Labels

Float = NDArray[np.float32]
Matrix = NDArray[np.float64]
"""(3, 3), source pixels (x, y, 1) -> crop pixels."""


@dataclass(frozen=True)
class Jitter:
    """Light and colour of one camera: gains per channel, a gamma, saturation, and the deviation of noise."""

    gains: tuple[float, float, float]
    gamma: float
    saturation: float
    noise: float

    @staticmethod
    def draw(rng: np.random.Generator, strength: float) -> Jitter:
        """``strength`` 0: none; 1: as strong as two cameras differ."""
        light = np.exp(rng.uniform(-0.3, 0.3) * strength)
        red, green, blue = light * np.exp(rng.uniform(-0.08, 0.08, 3) * strength)
        gamma = float(np.exp(rng.uniform(-0.25, 0.25) * strength))
        saturation = float(1 + rng.uniform(-0.4, 0.4) * strength)
        return Jitter((red, green, blue), gamma, saturation, abs(rng.normal(0, 0.012)) * strength)

    def seen(self, image: Image, rng: np.random.Generator) -> Float:
        """(H, W, 3) uint8 -> float32 in [0, 1]."""
        gains = np.array(self.gains, np.float32)
        levels = (np.arange(256, dtype=np.float32)[:, None] / 255) ** np.float32(self.gamma) * gains
        x = np.stack([levels[:, c][image[..., c]] for c in range(3)], -1)
        grey = (x @ np.array((0.299, 0.587, 0.114), np.float32))[..., None]
        x = grey + np.float32(self.saturation) * (x - grey)
        if self.noise > 0.004:
            x += np.float32(self.noise) * rng.standard_normal(x.shape, dtype=np.float32)
        return np.asarray(np.clip(x, 0, 1), np.float32)


def crop_matrix(
    focus: tuple[float, float],
    source_hw: tuple[int, int],
    crop_hw: tuple[int, int],
    scale: float,
    rng: np.random.Generator,
) -> Matrix:
    """A crop that shows ``focus`` (x, y) somewhere, scaled, mirrored half the time, now and then turned.

    It is moved into the picture as far as the picture fills it.
    """
    height, width = crop_hw
    angle = np.deg2rad(rng.uniform(-4, 4) * (rng.random() < 0.3))
    flip = rng.choice((-1.0, 1.0))
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[flip * cos, -sin], [flip * sin, cos]])
    shift = np.array((rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height)) - linear @ focus
    corners = linear @ np.array([[0, source_hw[1], 0, source_hw[1]], [0, 0, source_hw[0], source_hw[0]]])
    for axis, crop in enumerate((width, height)):
        low, high = corners[axis].min(), corners[axis].max()
        shift[axis] = _inside(shift[axis], low, high, crop, rng)
    return np.vstack((np.hstack((linear, shift[:, None])), (0.0, 0.0, 1.0)))


def _inside(shift: float, low: float, high: float, crop: int, rng: np.random.Generator) -> float:
    """The shift nearest to ``shift`` for which [low, high] + shift covers [0, crop], or lies within it."""
    first, last = sorted((crop - high, -low))
    return float(min(max(shift, first), last))


def warp_image(image: Image, matrix: Matrix, size_hw: tuple[int, int]) -> Image:
    """The picture seen through ``matrix``; its mean colour where there is none."""
    seen = cv2.warpPerspective(
        softened(image, matrix),
        matrix,
        size_hw[::-1],
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=mean_colour(image),
    )
    return np.asarray(seen, np.uint8)


def softened(image: Image, matrix: Matrix) -> Image:
    """The picture, blurred where ``matrix`` shrinks it so far that 2x2 pixels would leave some out."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    return image if scale >= 0.75 else np.asarray(cv2.GaussianBlur(image, (0, 0), 0.4 / scale), np.uint8)


def mean_colour(image: Image) -> tuple[float, float, float]:
    """RGB, from every 16th pixel."""
    red, green, blue = (float(x) for x in image[::16, ::16].mean((0, 1)))
    return red, green, blue


def warp_labels(labels: Labels, matrix: Matrix, size_hw: tuple[int, int]) -> Labels:
    """Nearest; IGNORE where there is no picture."""
    return np.asarray(
        cv2.warpPerspective(
            labels,
            matrix,
            size_hw[::-1],
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=IGNORE,
        ),
        np.uint8,
    )
