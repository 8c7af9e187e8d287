"""Small grids with affinities as a network would give them, and RETAB's propagation written densely.

The dense version is the reference: one N x N matrix, squared eight times, as the method's authors do it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backends.weak_shot.neighbourhood import half_plane, joined

Scores = NDArray[np.float32]


def two_regions(height: int, width: int) -> NDArray[np.int64]:
    """A disc on a ground, (h, w) ids 0 and 1."""
    y, x = np.mgrid[:height, :width]
    return ((y - height / 2) ** 2 + (x - width / 2) ** 2 < (min(height, width) / 3) ** 2).astype(np.int64)


def pairs_between(regions: NDArray[np.int64], seed: int = 0, contrast: float = 0.3) -> Scores:
    """Affinities exp(-mean |f_i - f_j|) of noisy features that differ by region; 9 outside the image."""
    draw = np.random.default_rng(seed)
    height, width = regions.shape
    means = contrast * draw.normal(size=(int(regions.max()) + 1, 8))
    features = means[regions] + 0.05 * draw.normal(size=(height, width, 8))
    offsets = half_plane(5)
    pairs = np.full((len(offsets), height, width), 9, np.float32)
    for row, (dy, dx) in zip(pairs, offsets, strict=True):
        inside = joined(height, width, dy, dx)
        if inside is not None:
            here = np.array([0, inside[1].start]) + np.argwhere(np.ones((height, width), bool)[inside])
            there = here + np.array([dy, dx])
            gap = np.abs(features[tuple(here.T)] - features[tuple(there.T)]).mean(-1)
            row[tuple(here.T)] = np.exp(-gap)
    return pairs


def rim_of(regions: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(h, w) cells left of or above a change of region."""
    rim = np.zeros(regions.shape, bool)
    rim[:, :-1] |= regions[:, :-1] != regions[:, 1:]
    rim[:-1] |= regions[:-1] != regions[1:]
    return rim


def dense_affinity(pairs: Scores, beta: float, radius: int = 5) -> NDArray[np.float64]:
    """(N, N) a_ij ** beta written out pair by pair, zero diagonal."""
    _, height, width = pairs.shape
    matrix = np.zeros((height * width, height * width))
    for row, (dy, dx) in zip(pairs, half_plane(radius), strict=True):
        for y in range(height):
            for x in range(width):
                if 0 <= y + dy < height and 0 <= x + dx < width:
                    i, j = y * width + x, (y + dy) * width + x + dx
                    matrix[i, j] = matrix[j, i] = float(row[y, x]) ** beta
    return matrix


def dense_propagation(
    scores: Scores, pairs: Scores, rim: NDArray[np.bool_] | None, *, beta: float = 8, doublings: int = 8
) -> tuple[Scores, NDArray[np.float64], NDArray[np.float64]]:
    """y T1^(2^n) T2^(2^n) and both T: stage 1 among free cells only, stage 2 into rim cells only."""
    affinity = dense_affinity(pairs, beta)
    free = np.ones(len(affinity), bool) if rim is None else ~rim.ravel()
    first = _columns_to_one(np.where(free[:, None] & free[None, :], affinity, 0))
    second = _columns_to_one(np.where(~free[None, :], affinity, 0))  # only columns of rim cells receive
    after = scores.reshape(len(scores), -1) @ _doubled(first, doublings) @ _doubled(second, doublings)
    return after.reshape(scores.shape).astype(np.float32), first, second


def _columns_to_one(affinity: NDArray[np.float64]) -> NDArray[np.float64]:
    with_self = affinity + np.eye(len(affinity))
    return with_self / with_self.sum(axis=0, keepdims=True)


def _doubled(matrix: NDArray[np.float64], times: int) -> NDArray[np.float64]:
    for _ in range(times):
        matrix = matrix @ matrix
    return matrix
