"""The part of a frame that the network looks at, and at which scale.

An object that fills a tenth of the frame is seen too coarsely in the whole of it, so the network looks at the
whole first and then at the object with some surroundings (zoom-in: Sofiiuk et al., f-BRS, CVPR 2020).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.clicks.prompts import Box, Click
from backends.core.types import BoxPrompt, Image, Mask, PointPrompt

AREA_PX = 150_000  # of the network's input, whatever the view
CELL = 16  # the network's coarsest stride: sides are multiples of it
ZOOM = 2.5  # no view is magnified more than this
MARGIN = 0.2  # a view shows this share of the object's longer side around it
LEAST_MARGIN = 0.08  # … and is looked for anew when less is left
LOOSE = 2.2  # … or when it has grown this many times too large (area)


@dataclass(frozen=True)
class View:
    """A rectangle of the frame in whole pixels, bounds as in slices."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def extent_hw(self) -> tuple[int, int]:
        """Its height and width in pixels of the frame."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def size_hw(self) -> tuple[int, int]:
        """The network's input, sides multiples of CELL."""
        height, width = self.extent_hw
        scale = min(ZOOM, (AREA_PX / (height * width)) ** 0.5)
        return max(2 * CELL, round(height * scale / CELL) * CELL), max(
            2 * CELL, round(width * scale / CELL) * CELL
        )

    def look(self, image: Image) -> Image:
        """The view at the network's size."""
        return np.asarray(_resized(np.ascontiguousarray(image[self.slices]), self.size_hw), np.uint8)

    def look_at_mask(self, mask: Mask) -> Mask:
        """The same of a mask (H, W) bool."""
        part = np.ascontiguousarray(mask[self.slices]).astype(np.float32)
        return np.asarray(_resized(part, self.size_hw) > 0.5, np.bool_)

    def clicks(self, points: Sequence[PointPrompt]) -> list[Click]:
        """Clicks on the frame in the view's pixels; those outside the view are left out."""
        found = []
        for point in points:
            x, y = self._at(point.x_px, point.y_px)
            if 0 <= x <= self.size_hw[1] and 0 <= y <= self.size_hw[0]:
                found.append(Click(x, y, point.positive))
        return found

    def boxes(self, boxes: Sequence[BoxPrompt]) -> list[Box]:
        """Boxes on the frame in the view's pixels."""
        return [Box(*self._at(box.x0_px, box.y0_px), *self._at(box.x1_px, box.y1_px)) for box in boxes]

    def _at(self, x_px: float, y_px: float) -> tuple[float, float]:
        (height, width), (rows, columns) = self.extent_hw, self.size_hw
        return (x_px - self.x0) * columns / width, (y_px - self.y0) * rows / height

    def suits(self, wanted: Extent, size_hw: tuple[int, int]) -> bool:
        """Whether the object at ``wanted`` is seen well enough: surroundings left, yet not too small."""
        least = around(wanted, LEAST_MARGIN, size_hw)
        inside = self.x0 <= least.x0 and self.y0 <= least.y0 and self.x1 >= least.x1 and self.y1 >= least.y1
        ideal = around(wanted, MARGIN, size_hw)
        return inside and _area(self) <= LOOSE * _area(ideal)


Extent = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels of the frame


def whole(size_hw: tuple[int, int]) -> View:
    """The frame itself."""
    return View(0, 0, size_hw[1], size_hw[0])


def around(extent: Extent, margin: float, size_hw: tuple[int, int]) -> View:
    """``extent`` with ``margin`` of its longer side on each side, cut to the frame; never empty."""
    x0, y0, x1, y1 = extent
    grow = margin * max(x1 - x0, y1 - y0) + 4
    left, top = int(np.clip(x0 - grow, 0, size_hw[1] - 1)), int(np.clip(y0 - grow, 0, size_hw[0] - 1))
    right, low = int(np.clip(np.ceil(x1 + grow), left + 1, size_hw[1])), int(np.ceil(y1 + grow))
    return View(left, top, right, int(np.clip(low, top + 1, size_hw[0])))


def extent_of(mask: Mask, points: Iterable[PointPrompt], boxes: Iterable[BoxPrompt]) -> Extent | None:
    """Where the object is by all that is known: the mask, positive clicks, boxes. None for nothing at all."""
    spans = [(box.x0_px, box.y0_px, box.x1_px, box.y1_px) for box in boxes]
    spans += [(point.x_px, point.y_px, point.x_px, point.y_px) for point in points if point.positive]
    if mask.any():
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        spans.append((float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)))
    if not spans:
        return None
    x0, y0, x1, y1 = zip(*spans, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def _area(view: View) -> int:
    return view.extent_hw[0] * view.extent_hw[1]


def _resized(array: NDArray[Any], size_hw: tuple[int, int]) -> NDArray[Any]:
    shrinks = array.shape[0] * array.shape[1] > size_hw[0] * size_hw[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(array, size_hw[::-1], interpolation=how))
