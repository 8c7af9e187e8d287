"""Between pixels and the cells of the grid: pooling down, labels up, and the background's score.

Cell ``[i, j]`` of a grid at stride s covers pixels ``s i .. s i + s - 1`` by ``s j .. s j + s - 1``; the
last row and column may hang over the image's edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


def max_pooled(probability: Float, stride: int) -> Float:
    """(H, W) -> (ceil(H / stride), ceil(W / stride)): the largest value of each cell.

    Taking the nearest pixel instead leaves holes in boundaries that are thinner than a cell.
    """
    starts = [np.arange(0, side, stride) for side in probability.shape]
    rows = np.maximum.reduceat(probability, starts[0], axis=0)
    return np.asarray(np.maximum.reduceat(rows, starts[1], axis=1), np.float32)


def on_grid(maps: Float, grid_hw: tuple[int, int]) -> Float:
    """(K, h, w) at another number of cells: means where that is coarser, bilinear where it is finer."""
    if maps.shape[1:] == grid_hw:
        return maps.astype(np.float32, copy=False)
    coarser = maps.shape[1] >= grid_hw[0] and maps.shape[2] >= grid_hw[1]
    way = cv2.INTER_AREA if coarser else cv2.INTER_LINEAR
    found = [cv2.resize(one, grid_hw[::-1], interpolation=way) for one in maps.astype(np.float32)]
    return np.stack(found).astype(np.float32) if found else np.zeros((0, *grid_hw), np.float32)


def with_background(responses: Float, alpha: float) -> Float:
    """(K, h, w) in 0..1 -> (K + 1, h, w), row 0 the background's ``(1 - max) ** alpha`` (PSA, 3.1)."""
    highest = responses.max(axis=0, initial=0)
    background = (1 - np.clip(highest, 0, 1)) ** np.float32(alpha)
    return np.asarray(np.concatenate([background[None], responses]), np.float32)


def labels_at(
    scores: Float,
    ids: Sequence[int],
    inner_hw: tuple[int, int],
    size_hw: tuple[int, int],
    stride: int,
    limits: Mapping[int, tuple[slice, slice]] | None = None,
) -> NDArray[np.uint8]:
    """(H, W) uint8: the id of the largest score at every pixel, scores enlarged bilinearly.

    ``scores`` (K, h, w) lie on the grid of an image of ``inner_hw`` pixels, which is the image of ``size_hw``
    pixels reduced; ``ids`` names the rows, and of equals the first row wins. ``limits`` gives, by id, the
    rows and columns of pixels to which a class keeps. One row is enlarged at a time, so that memory does not
    grow with the classes.
    """
    best = np.full(size_hw, -np.inf, np.float32)
    labels = np.zeros(size_hw, np.uint8)
    everywhere = slice(None), slice(None)
    for number, row in zip(ids, scores, strict=True):
        part = (limits or {}).get(number, everywhere)
        enlarged = enlarged_to(row, inner_hw, size_hw, stride)[part]
        higher = enlarged > best[part]
        labels[part][higher] = number
        np.copyto(best[part], enlarged, where=higher)
    return labels


def enlarged_to(row: Float, inner_hw: tuple[int, int], size_hw: tuple[int, int], stride: int) -> Float:
    """(h, w) cells -> ``size_hw`` pixels, bilinear; each cell's value stands at its own middle."""
    height, width = row.shape
    whole = cv2.resize(row, (width * stride, height * stride), interpolation=cv2.INTER_LINEAR)
    inner = whole[: inner_hw[0], : inner_hw[1]]
    if inner_hw == size_hw:
        return np.asarray(inner, np.float32)
    return np.asarray(cv2.resize(inner, size_hw[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
