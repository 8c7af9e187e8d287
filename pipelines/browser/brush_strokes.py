"""How a careful person fills a mask with a round brush: once along the inside of its outline, then in rows.

Pure geometry in pixels of the frame; who moves the brush is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.core.masks import iou
from backends.core.types import Mask

Stroke = tuple[tuple[float, float], ...]
"""The brush's way, (x, y) in pixels; the middle of pixel (row, column) is (column + 0.5, row + 0.5)."""

_GOOD = 0.97  # IoU of what a brush can reach at all with the mask
_ROW_STEP = 0.7  # of the brush's width


def fitting_width(mask: Mask, widths_px: Sequence[float]) -> float:
    """The widest brush that still reaches the mask's corners; the narrowest one when none does."""
    fits = [width for width in widths_px if iou(_reachable(mask, width), mask) >= _GOOD]
    return max(fits) if fits else min(widths_px)


def fill(mask: Mask, width_px: float) -> list[Stroke]:
    """Strokes of a brush of this width that cover the mask as far as the brush gets, without leaving it."""
    centres = _centres(mask, width_px)
    return [*_outlines(centres), *_rows(centres, max(1, round(_ROW_STEP * width_px)))]


def _centres(mask: Mask, width_px: float) -> NDArray[np.uint8]:
    """Where the brush's middle may be, (H, W) uint8 in {0, 1}."""
    framed = np.pad(mask.astype(np.uint8), 1)  # the brush stays inside the picture as well
    return np.asarray(cv2.erode(framed, _disc(width_px))[1:-1, 1:-1], np.uint8)


def _reachable(mask: Mask, width_px: float) -> Mask:
    return np.asarray(cv2.dilate(_centres(mask, width_px), _disc(width_px)) > 0, np.bool_)


def _disc(width_px: float) -> NDArray[np.uint8]:
    reach = int(width_px / 2)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.asarray(x * x + y * y <= (width_px / 2) ** 2, np.uint8)


def _outlines(centres: NDArray[np.uint8]) -> Iterator[Stroke]:
    found, _ = cv2.findContours(centres, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    for contour in found:
        corners = cv2.approxPolyDP(contour, 0.8, True)[:, 0, :]
        yield _stroke([*corners, corners[0]])


def _rows(centres: NDArray[np.uint8], step: int) -> Iterator[Stroke]:
    rows = np.flatnonzero(centres.any(axis=1))
    for row in rows[::step]:
        edges = np.flatnonzero(np.diff(centres[row], prepend=0, append=0))
        for first, behind in zip(edges[::2], edges[1::2], strict=True):
            yield _stroke([(first, row), (behind - 1, row)])


def _stroke(points: Iterable[Sequence[int] | NDArray[np.int32]]) -> Stroke:
    return tuple((float(x) + 0.5, float(y) + 0.5) for x, y in points)
