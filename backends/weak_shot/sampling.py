"""Crops to learn from: random view, mirrored, colours changed; what lies outside the photo is unknown.

Every crop follows from (seed, number) alone, so that a resumed run sees what an uninterrupted one sees.
Padding of the picture repeats it in the mirror, padding of the labels is IGNORE: as zeros it would teach that
nothing is where no photo is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadInput
from backends.core.types import Image
from backends.weak_shot.labels import IGNORE, Labels

Float = NDArray[np.float32]
Item = TypeVar("Item")
_CELL = 16  # sides of a crop are multiples of the networks' coarsest stride


@dataclass(frozen=True)
class ViewConfig:
    """How crops are cut."""

    side_px: int = 224
    """A crop has about the area of a square of this side, and the shape of the photos."""
    scale: tuple[float, float] = (1.0, 1.8)
    """A photo's size against the largest one that fits into the crop whole."""
    jitter: float = 0.25
    """Strength of changes of brightness, contrast and saturation."""


@dataclass(frozen=True)
class Sample:
    """One crop: picture (H, W, 3) float32 in [0, 1], labels (H, W) uint8, tags (n,) float32 of the photo."""

    image: Float
    labels: Labels
    tags: Float


def canvas(sizes_hw: Sequence[tuple[int, int]], side_px: int) -> tuple[int, int]:
    """(height, width) of crops: the median shape of the photos, the area of a square of ``side_px``."""
    if not sizes_hw:
        raise BadInput("no photos to learn from")
    shape = float(np.median([height / width for height, width in sizes_hw]))
    shape = min(2.0, max(0.5, shape))
    height, width = side_px * shape**0.5, side_px / shape**0.5
    return max(2, round(height / _CELL)) * _CELL, max(2, round(width / _CELL)) * _CELL


def cut(
    image: Image,
    labels: Labels,
    tags: Float,
    size_hw: tuple[int, int],
    view: ViewConfig,
    rng: np.random.Generator,
) -> Sample:
    """One random crop of a photo; ``labels`` is a map of the photo's size."""
    matrix = _placed(image.shape[:2], size_hw, view.scale, rng)
    shrinks = np.hypot(*matrix[:, 0]) < 0.7
    picture = cv2.warpAffine(
        _softened(image, matrix) if shrinks else image,
        matrix,
        size_hw[::-1],
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    found = cv2.warpAffine(
        labels,
        matrix,
        size_hw[::-1],
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=IGNORE,
    )
    return Sample(
        _jittered(np.asarray(picture, np.uint8), view.jitter, rng), np.asarray(found, np.uint8), tags
    )


def numbered(items: Sequence[Item], seed: int, number: int) -> Item:
    """The item of sample ``number``: every item once, in a new order, before any comes again."""
    round_, place = divmod(number, len(items))
    order = np.random.default_rng((seed, round_, 7)).permutation(len(items))
    return items[int(order[place])]


class Mixed(Generic[Item]):
    """Two piles drawn from at a fixed ratio: photos with masks, few and exact, beside photos with tags."""

    def __init__(self, base: Sequence[Item], novel: Sequence[Item], base_share: float):
        """``base_share`` in [0, 1] of the samples are from ``base``; an empty pile is drawn from never."""
        if not base and not novel:
            raise BadInput("no photos to learn from")
        self.base, self.novel = base, novel
        self.share = 1.0 if not novel else 0.0 if not base else base_share

    def __call__(self, seed: int, number: int) -> Item:
        before, now = int(number * self.share + 1e-9), int((number + 1) * self.share + 1e-9)
        if now > before:
            return numbered(self.base, seed, before)
        return numbered(self.novel, seed, number - before)


Draw = Callable[[int], Sample]


def _placed(
    source_hw: tuple[int, ...], size_hw: tuple[int, int], scale: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.float64]:
    """2x3 source -> crop: scaled, mirrored every second time, anywhere, with as little padding as can be."""
    rows, columns = source_hw[:2]
    fits = min(size_hw[0] / rows, size_hw[1] / columns)
    factor = fits * float(np.exp(rng.uniform(np.log(scale[0]), np.log(scale[1]))))
    spare_x, spare_y = size_hw[1] - columns * factor, size_hw[0] - rows * factor
    shift_x, shift_y = rng.uniform(0, 1) * spare_x, rng.uniform(0, 1) * spare_y
    half = 0.5 * factor - 0.5  # pixel centres to pixel centres
    if rng.random() < 0.5:
        return np.array([[-factor, 0, shift_x + (columns - 1) * factor + half], [0, factor, shift_y + half]])
    return np.array([[factor, 0, shift_x + half], [0, factor, shift_y + half]])


def _softened(image: Image, matrix: NDArray[np.float64]) -> Image:
    sigma = 0.4 / float(np.hypot(*matrix[:, 0]))
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def _jittered(image: Image, strength: float, rng: np.random.Generator) -> Float:
    """(H, W, 3) float32 in [0, 1]: saturation, contrast and brightness changed by about ``strength``."""
    picture = image.astype(np.float32) / 255
    saturation, contrast = np.exp(rng.normal(0, strength, 2)).clip(0.4, 2.0)
    brightness = float(rng.normal(0, strength / 3))
    grey = picture.mean(2, keepdims=True)
    picture = grey + (picture - grey) * np.float32(saturation)
    picture = (picture - 0.5) * np.float32(contrast) + np.float32(0.5 + brightness)
    return np.asarray(picture.clip(0, 1), np.float32)
