"""Propagation as the method's authors write it, one matrix of cells by cells, and grids to run it on.

It is what the sparse version is held against in ``maskloop bench weak_shot``; nothing else uses it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from backends.weak_shot.neighbourhood import half_plane
from backends.weak_shot.networks import overlap, pair_affinities
from backends.weak_shot.propagation import Walk

Float = NDArray[np.float32]
_DISCS = ((0.45, 0.35, 0.26), (0.62, 0.78, 0.15))  # y, x, radius as shares of the side


@dataclass(frozen=True)
class Grid:
    """A drawn square grid: two discs on a ground."""

    scores: Float
    """(3, side, side): background and two classes."""
    pairs: Float
    """(n_off, side, side) affinities in [0, 1]."""
    boundary: NDArray[np.bool_]
    """(side, side): cells where one region ends and another begins."""


def draw_grid(side: int, radius: int = 5, seed: int = 0) -> Grid:
    """A grid of ``side`` by ``side`` cells: noisy features by region, random scores."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    regions = np.zeros((side, side), np.int64)
    for number, (at_y, at_x, reach) in enumerate(_DISCS, start=1):
        regions[(y - at_y) ** 2 + (x - at_x) ** 2 < reach**2] = number
    features = draw.normal(size=(3, 8))[regions] + 0.05 * draw.normal(size=(side, side, 8))
    tensor = torch.from_numpy(features.astype(np.float32)).permute(2, 0, 1)[None]
    boundary = np.zeros((side, side), bool)
    boundary[:, :-1] |= regions[:, :-1] != regions[:, 1:]
    boundary[:-1] |= regions[:-1] != regions[1:]
    scores = draw.random((3, side, side)).astype(np.float32)
    return Grid(scores, pair_affinities(tensor, half_plane(radius))[0].numpy(), boundary)


def dense_propagation(grid: Grid, walk: Walk) -> Float:
    """(K, h, w): both stages as powers of dense column-stochastic matrices, squared again and again.

    ``walk.steps`` must be a power of two.
    """
    free = ~grid.boundary.ravel()
    columns: NDArray[np.floating] = grid.scores.reshape(len(grid.scores), -1)
    for stage in (1, 2):
        matrix = _affinity(grid.pairs, walk)
        matrix *= (free[:, None] & free[None, :]) if stage == 1 else ~free[None, :]
        np.fill_diagonal(matrix, 1)
        matrix /= matrix.sum(axis=0, keepdims=True)
        columns = columns @ _power(matrix, walk.steps)
    return columns.reshape(grid.scores.shape).astype(np.float32)


def _affinity(pairs: Float, walk: Walk) -> Float:
    height, width = pairs.shape[1:]
    cells = np.arange(height * width).reshape(height, width)
    matrix = np.zeros((cells.size, cells.size), np.float32)
    for row, offset in zip(pairs, half_plane(walk.radius), strict=True):
        first, second = overlap((height, width), offset)
        values = row[first].ravel() ** np.float32(walk.beta)
        matrix[cells[first].ravel(), cells[second].ravel()] = values
        matrix[cells[second].ravel(), cells[first].ravel()] = values
    return matrix


def _power(matrix: Float, steps: int) -> Float:
    """By torch, which keeps to a number of threads, in arrays of NumPy's, whose size can be counted."""
    spare = np.empty_like(matrix)
    for _ in range(steps.bit_length() - 1):
        torch.matmul(torch.from_numpy(matrix), torch.from_numpy(matrix), out=torch.from_numpy(spare))
        matrix, spare = spare, matrix
    return matrix
