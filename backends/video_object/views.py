"""Views of a frame: where a crop looks, and images and masks seen through it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """An affine view: source point ``centre`` lands at ``target``, scaled, perhaps mirrored."""

    centre: tuple[float, float]
    target: tuple[float, float]
    scale: float
    flip: float

    @staticmethod
    def draw(
        centre: tuple[float, float],
        crop_hw: tuple[int, int],
        scale: tuple[float, float],
        rng: np.random.Generator,
    ) -> Window:
        """A random view of ``centre`` in a crop of ``crop_hw`` rows and columns."""
        height, width = crop_hw
        target = (width * rng.uniform(0.3, 0.7), height * rng.uniform(0.3, 0.7))
        return Window(centre, target, rng.uniform(*scale), rng.choice((-1.0, 1.0)))

    def inside(self, source_hw: tuple[int, int], crop_hw: tuple[int, int]) -> Window:
        """The same view moved as little as needed for the crop to lie within the source, where it fits."""
        mirrored = (self.flip < 0, False)
        target = []
        for axis in (0, 1):
            length, crop = source_hw[1 - axis], crop_hw[1 - axis]
            before = length - self.centre[axis] if mirrored[axis] else self.centre[axis]
            high = self.scale * before
            low = crop - self.scale * (length - before)
            target.append(min(high, max(low, self.target[axis])))
        return Window(self.centre, (target[0], target[1]), self.scale, self.flip)

    def matrix(self, rng: np.random.Generator, unrest: float = 1.0) -> NDArray[np.float64]:
        """2x3 source -> crop, with up to 3 degrees, 3 % and 3 px of drift of its own, times ``unrest``."""
        angle = np.deg2rad(rng.uniform(-3, 3) * unrest)
        scale = self.scale * (1 + rng.uniform(-0.03, 0.03) * unrest)
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        linear = np.array([[self.flip * cos, -sin], [self.flip * sin, cos]])
        shift = np.array(self.target) + rng.uniform(-3, 3, 2) * unrest - linear @ np.array(self.centre)
        return np.hstack((linear, shift[:, None]))


def warp(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], size_hw: tuple[int, int]
) -> NDArray[np.uint8]:
    border = cv2.BORDER_REFLECT_101
    return cv2.warpAffine(image, matrix, size_hw[::-1], flags=cv2.INTER_LINEAR, borderMode=border)  # type: ignore[return-value]


def warp_mask(mask: NDArray[np.bool_], matrix: NDArray[np.float64], size_hw: tuple[int, int]) -> Float:
    soft = cv2.warpAffine(mask.astype(np.uint8) * 255, matrix, size_hw[::-1], flags=cv2.INTER_LINEAR)
    return (soft > 127).astype(np.float32)


def centre_of(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Centroid (x, y) in px; the middle of the frame for an empty mask."""
    rows, columns = np.nonzero(mask)
    if len(rows) == 0:
        return mask.shape[1] / 2, mask.shape[0] / 2
    return float(columns.mean()), float(rows.mean())
