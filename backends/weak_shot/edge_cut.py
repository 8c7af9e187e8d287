"""Edges that cross a boundary, weakened by the strongest boundary on their way (IRN, 4.3).

Leaving out boundary cells does not stop a hop over a thin boundary: edges reach four cells. The two ends are
no part of the way; what happens at a cell on a boundary is the business of the two stages.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from backends.weak_shot.neighbourhood import half_plane, joined


def cut_edges(
    pairs: NDArray[np.float32], boundary: NDArray[np.bool_] | NDArray[np.float32], radius: int
) -> NDArray[np.float32]:
    """(n_off, h, w): each affinity times ``1 - max(boundary)`` over the cells strictly between its ends.

    ``boundary`` (h, w) is a probability in 0..1 or a mask.
    """
    height, width = boundary.shape
    strength = boundary.astype(np.float32)
    result = pairs.astype(np.float32)
    for row, (dy, dx) in zip(result, half_plane(radius), strict=True):
        inside = joined(height, width, dy, dx)
        between = way(dy, dx)
        if inside is None or not between:
            continue
        passed = [strength[_moved(inside, *cell)] for cell in between]
        row[inside] *= 1 - np.maximum.reduce(passed)
    return result


@cache
def way(dy: int, dx: int) -> tuple[tuple[int, int], ...]:
    """The cells nearest to the line from (0, 0) to (dy, dx), both ends left out; empty for neighbours."""
    length = max(abs(dy), abs(dx))
    return tuple((_nearest(dy * at, length), _nearest(dx * at, length)) for at in range(1, length))


def _nearest(numerator: int, denominator: int) -> int:
    """Rounded quotient, halves away from 0, so that a way and its mirror image stay mirror images."""
    size = (2 * abs(numerator) + denominator) // (2 * denominator)
    return size if numerator >= 0 else -size


def _moved(inside: tuple[slice, slice], dy: int, dx: int) -> tuple[slice, slice]:
    rows, columns = inside
    return slice(rows.start + dy, rows.stop + dy), slice(columns.start + dx, columns.stop + dx)
