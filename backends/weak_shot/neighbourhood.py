"""Which cells of a grid are joined, and the sparse matrix of how strongly.

Affinities come as ``pairs`` (n_off, h, w): entry ``[o, y, x]`` joins cell ``(y, x)`` to ``(y + dy, x + dx)``
for the o-th offset of :func:`half_plane`. Entries whose second cell lies outside the image are not read,
whatever they hold; every pair inside the image counts, in the margins too, which RETAB's code leaves out.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from backends.core.errors import BadInput

Offsets = tuple[tuple[int, int], ...]


@cache
def half_plane(radius: int = 5) -> Offsets:
    """(dy, dx) with dy^2 + dx^2 < radius^2, one of each opposite two; 34 of them at radius 5 (PSA)."""
    reach = range(-radius + 1, radius)
    return tuple(
        (dy, dx)
        for dy in range(radius)
        for dx in reach
        if (dy > 0 or dx > 0) and dy * dy + dx * dx < radius * radius
    )


def affinity_matrix(pairs: NDArray[np.float32], radius: int, beta: float) -> sparse.csr_array:
    """(N, N) symmetric float32 CSR of ``a_ij ** beta`` with N = h * w, row by row, zero diagonal.

    One diagonal per offset, so memory and time are proportional to the number of cells. Raises BadInput when
    the pairs do not fit the radius or leave [0, 1].
    """
    offsets = half_plane(radius)
    _check(pairs, offsets, radius)
    height, width = pairs.shape[1:]
    cells = height * width
    diagonals: dict[int, NDArray[np.float32]] = {}
    for (dy, dx), affinity in zip(offsets, pairs, strict=True):
        inside = joined(height, width, dy, dx)
        if inside is None:
            continue
        values = np.zeros((height, width), np.float32)
        values[inside] = affinity[inside] ** np.float32(beta)
        step = dy * width + dx
        # On narrow grids two offsets share a diagonal; they never share a cell of it.
        diagonals[step] = diagonals.get(step, np.float32(0)) + values.ravel()
    if not diagonals:
        return sparse.csr_array((cells, cells), dtype=np.float32)
    half = _from_diagonals(diagonals, cells)
    matrix: sparse.csr_array = half + half.T.tocsr()
    return matrix


def joined(height: int, width: int, dy: int, dx: int) -> tuple[slice, slice] | None:
    """The cells (y, x) whose (y + dy, x + dx) lies on the grid too, for dy >= 0; None if there are none."""
    if dy >= height or abs(dx) >= width:
        return None
    return slice(0, height - dy), slice(max(0, -dx), width - max(0, dx))


def _from_diagonals(diagonals: dict[int, NDArray[np.float32]], cells: int) -> sparse.csr_array:
    """The upper triangle: entry i of diagonal k stands at (i, i + k)."""
    steps = np.array(sorted(diagonals))
    data = np.zeros((len(steps), cells), np.float32)
    for row, step in zip(data, steps, strict=True):
        row[step:] = diagonals[int(step)][: cells - step]  # scipy counts along columns
    return sparse.dia_array((data, steps), shape=(cells, cells)).tocsr()


def _check(pairs: NDArray[np.float32], offsets: Offsets, radius: int) -> None:
    if pairs.ndim != 3 or len(pairs) != len(offsets):
        raise BadInput(
            f"affinities of shape {pairs.shape}; radius {radius} wants ({len(offsets)}, height, width)"
        )
    for (dy, dx), affinity in zip(offsets, pairs, strict=True):
        inside = joined(affinity.shape[0], affinity.shape[1], dy, dx)
        if inside is not None and not _within_one(affinity[inside]):
            raise BadInput(f"affinities at offset {(dy, dx)} leave the range from 0 to 1")


def _within_one(values: NDArray[np.float32]) -> bool:
    return bool(values.min() >= 0 and values.max() <= 1)  # false for NaN as well
