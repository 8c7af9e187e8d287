"""Clips to learn from: a labelled frame and the frames before it, real ones where there are any.

CamVid's labelled frames are stills, a second apart, and most projects label few frames of a clip. So a clip
is made from a still as a camera sees it that drives on: the frames before it are the same picture through a
view that changes smoothly (a slow zoom about a point near the middle, a pan, a turn, and a smooth unevenness
that stands for depth), each with noise and light of its own. In a share of the made clips the oldest frames
come from the labelled neighbour a second earlier, which the attention has to learn to pass over. Footage of
SLOWEST_HZ or more gives its own frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from backends.core.types import Image
from backends.video_semantic import sampling, views
from backends.video_semantic.consistency import motion
from backends.video_semantic.sampling import SampleConfig, Stock
from backends.video_semantic.scenes import Labels
from backends.video_semantic.views import Float, Jitter, Matrix
from backends.video_semantic.wear import WearConfig, worn

SLOWEST_HZ = 10.0
"""Real neighbours are used from this rate on."""


@dataclass(frozen=True)
class ClipConfig:
    """How clips are made from stills. Motion is per frame, in shares of the crop's width where not said."""

    zoom: float = 0.02
    """Largest change of size per frame; driving forwards, things grow."""
    pan: float = 0.012
    turn_deg: float = 0.3
    uneven: float = 0.004
    """Largest displacement by the smooth unevenness."""
    still: float = 0.1
    """Share of made clips whose camera stands."""
    neighbour: float = 0.2
    """Share of made clips whose oldest frames are the labelled neighbour before."""
    flicker: float = 0.02
    """Deviation of a frame's light from that of its clip."""
    wear: WearConfig = field(default_factory=WearConfig)
    """What sensor and codec do to each frame by itself."""


@dataclass(frozen=True)
class ClipSample:
    """F frames (F, h, w, 3) float32 RGB in [0, 1], the newest last, and its label map (h, w)."""

    frames: Float
    labels: Labels
    before: Float
    """(h, w, 2): where each pixel (x, y) of the newest frame is in the one before it, in px."""


def draw(
    stock: Stock, sample: SampleConfig, config: ClipConfig, n_frames: int, seed: int, index: int
) -> ClipSample:
    """Clip ``index`` of ``n_frames`` frames, of the endless row that ``seed`` makes."""
    rng = np.random.default_rng((seed, index, 2))
    item, wanted = stock.choose(rng, sample.rare)
    image, labels = stock.read(item)
    scale = float(np.exp(rng.uniform(*np.log(sample.scale))))
    size_hw = (labels.shape[0], labels.shape[1])
    matrix = views.crop_matrix(sampling.focus(labels, wanted, rng), size_hw, sample.crop_hw, scale, rng)
    part = stock.scenes.footage[item[0]]
    if part.rate_hz >= SLOWEST_HZ and item[1] > 0:
        seen, before = _real(stock, item, matrix, sample.crop_hw, n_frames)
    else:
        seen, before = _made(stock, item, image, matrix, sample.crop_hw, config, n_frames, rng)
    light = Jitter.draw(rng, sample.jitter)
    seen = [worn(picture, config.wear, rng, newest=picture is seen[-1]) for picture in seen]
    frames = np.stack([_lit(light, config.flicker, picture, rng) for picture in seen])
    return ClipSample(frames, views.warp_labels(labels, matrix, sample.crop_hw), before)


def _real(
    stock: Stock, item: tuple[int, int], matrix: Matrix, crop_hw: tuple[int, int], n_frames: int
) -> tuple[list[Image], Float]:
    """The frames before a labelled one, all through one view; the first is repeated where it begins."""
    number, at = item
    pictures = [stock.scenes.image(number, max(0, at - back)) for back in range(n_frames - 1, -1, -1)]
    seen = [views.warp_image(picture, matrix, crop_hw) for picture in pictures]
    return seen, grid(crop_hw) + motion(seen[-1], seen[-2]).flow


def _made(
    stock: Stock,
    item: tuple[int, int],
    image: Image,
    matrix: Matrix,
    crop_hw: tuple[int, int],
    config: ClipConfig,
    n_frames: int,
    rng: np.random.Generator,
) -> tuple[list[Image], Float]:
    camera = Camera.draw(crop_hw, config, rng)
    other, since = image, n_frames
    if item[1] > 0 and rng.random() < config.neighbour:
        other = stock.scenes.image(item[0], item[1] - 1)
        since = int(rng.integers(1, n_frames))
    seen = [
        camera.seen(other if back >= since else image, matrix, back) for back in range(n_frames - 1, -1, -1)
    ]
    return seen, camera.in_frame_before()


@dataclass(frozen=True)
class Camera:
    """A smooth motion over a picture: what one frame back adds, and the unevenness (h, w, 2) px per frame."""

    step: Matrix
    """Crop pixels of a frame -> where they are in the frame before."""
    uneven: Float

    @staticmethod
    def draw(crop_hw: tuple[int, int], config: ClipConfig, rng: np.random.Generator) -> Camera:
        """A random one; standing still in a share of cases."""
        height, width = crop_hw
        if rng.random() < config.still:
            config = replace(config, zoom=0.0, pan=0.0, turn_deg=0.0, uneven=0.0)
        centre = np.array((width * rng.uniform(0.3, 0.7), height * rng.uniform(0.3, 0.7)))
        zoom = 1 - config.zoom * rng.uniform(-0.3, 1.0)  # a frame back, things were smaller
        angle = np.deg2rad(rng.uniform(-1, 1) * config.turn_deg)
        linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = np.array((rng.normal(0, 0.5), rng.normal(0, 0.15))) * config.pan * width
        step = np.vstack((np.hstack((linear, (centre - linear @ centre + shift)[:, None])), (0, 0, 1)))
        coarse = rng.uniform(-1, 1, (4, 5, 2)).astype(np.float32) * np.float32(config.uneven * width)
        return Camera(step, np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)))

    def seen(self, image: Image, matrix: Matrix, back: int) -> Image:
        """``image`` through ``matrix`` as it was seen ``back`` frames ago: (h, w, 3) uint8."""
        height, width = self.uneven.shape[:2]
        if back == 0:
            return views.warp_image(image, matrix, (height, width))
        to_source = np.linalg.inv(np.linalg.matrix_power(self.step, back) @ matrix)
        at = (grid((height, width)) + back * self.uneven).reshape(-1, 1, 2)
        source = cv2.perspectiveTransform(at, to_source).reshape(height, width, 2).astype(np.float32)
        seen = cv2.remap(
            views.softened(image, matrix),
            source[..., 0],
            source[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=views.mean_colour(image),
        )
        return np.asarray(seen, np.uint8)

    def in_frame_before(self) -> Float:
        """(h, w, 2): where each pixel of the newest frame is in the one before.

        The unevenness is given where the older frame has a pixel; it is so smooth that the pixel's place in
        the newer frame will do.
        """
        height, width = self.uneven.shape[:2]
        moved = cv2.perspectiveTransform(grid((height, width)).reshape(-1, 1, 2), self.step)
        return np.asarray(moved.reshape(height, width, 2) - self.uneven, np.float32)


def grid(size_hw: tuple[int, int]) -> Float:
    """(h, w, 2): the pixels' own (x, y)."""
    height, width = size_hw
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack((columns, rows), -1)


def _lit(light: Jitter, flicker: float, picture: Image, rng: np.random.Generator) -> Float:
    gain = float(np.exp(rng.normal(0, flicker)))
    red, green, blue = (gain * channel for channel in light.gains)
    return replace(light, gains=(red, green, blue)).seen(picture, rng)
