"""Boxes that say where a class is: a response of their own, and a limit on where the class may lie."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadInput

Float = NDArray[np.float32]
Window = tuple[slice, slice]
"""Rows and columns."""
Size = tuple[int, int]
"""Height and width."""
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the image, x1 and y1 not included."""
_HEARD = 0.2  # share of its maximum below which a response inside a box says nothing
_HALF = 0.5  # weight of the box's own response beside the classifier's


def pixel_window(box: Box, size_hw: Size, name: str) -> Window:
    """Rows and columns of the pixels that ``box`` touches, at least one each.

    Raises BadInput, naming the class, for a box without area or outside of the image.
    """
    height, width = size_hw
    if not all(math.isfinite(side) for side in box):
        raise BadInput(f"the box of {name!r} is {box}; wants four finite numbers x0, y0, x1, y1 in pixels")
    x0, y0, x1, y1 = max(0.0, box[0]), max(0.0, box[1]), min(float(width), box[2]), min(float(height), box[3])
    if x1 <= x0 or y1 <= y0:
        raise BadInput(f"the box of {name!r}, {box}, holds no pixel of the image of {width}x{height}")
    return slice(math.floor(y0), math.ceil(y1)), slice(math.floor(x0), math.ceil(x1))


def cell_window(window: Window, size_hw: Size, inner_hw: Size, stride: int) -> Window:
    """The cells that a window of pixels touches, on the grid of the image reduced to ``inner_hw``."""
    spans = []
    for span, side, inner in zip(window, size_hw, inner_hw, strict=True):
        scale = inner / side / stride
        cells = -(-inner // stride)
        first = min(int(span.start * scale), cells - 1)
        spans.append(slice(first, max(first + 1, min(cells, math.ceil(span.stop * scale)))))
    return spans[0], spans[1]


def boxed(response: Float | None, grid_hw: Size, window: Window) -> Float:
    """(h, w) in 0..1: a class's response where the box allows it, 0 elsewhere; its largest value is 1.

    Inside stands the classifier's ``response`` (h, w) over a bump as of an object that fills the box; the
    bump alone where the classifier has no such class (None) or hears nothing inside.
    """
    found = np.zeros(grid_hw, np.float32)
    rows, columns = window
    bump = _bump(rows.stop - rows.start, columns.stop - columns.start)
    inside = None if response is None else response[window]
    if inside is None or inside.max() < _HEARD:
        found[window] = bump
    else:
        found[window] = np.maximum(inside / inside.max(), _HALF * bump)
    return found


def _bump(rows: int, columns: int) -> Float:
    """1 in the middle, little at the middles of the sides, 0 in the corners."""
    y = (np.arange(rows) + 0.5) / rows * 2 - 1
    x = (np.arange(columns) + 0.5) / columns * 2 - 1
    bump = np.clip(1.2 - (y[:, None] ** 2 + x[None, :] ** 2), 0, 1).astype(np.float32)
    return np.asarray(bump / bump.max(), np.float32)
