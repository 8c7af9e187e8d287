"""What a person said, as maps that the network reads; drawn alike in training and in service.

All coordinates are pixels of the view the network works on (a frame, or a part of one, scaled).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.core.types import Mask

STRIDE = 4  # of the maps
RADIUS_PX = 5.0  # of a click's disc
REACH_PX = 96.0  # how far around a click its distance is told
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Click:
    """One click in pixels of the view: (0.5, 0.5) is the middle of the first pixel."""

    x: float
    y: float
    positive: bool


@dataclass(frozen=True)
class Box:
    """A box in pixels of the view, x1 and y1 exclusive."""

    x0: float
    y0: float
    x1: float
    y1: float


def draw_maps(
    size_hw: tuple[int, int], clicks: Sequence[Click], boxes: Sequence[Box], before: Mask | None
) -> Float:
    """(6, H/4, W/4) in [0, 1]: positive discs, negative discs, nearness of positive and of negative clicks,
    boxes filled, the mask so far. H and W are multiples of 4; ``before`` is (H, W)."""
    grid_hw = (size_hw[0] // STRIDE, size_hw[1] // STRIDE)
    maps = np.zeros((6, *grid_hw), np.float32)
    for row, positive in enumerate((True, False)):
        distance = _distance(grid_hw, [click for click in clicks if click.positive is positive])
        maps[row] = np.clip((RADIUS_PX + STRIDE / 2 - distance) / STRIDE, 0, 1)
        maps[2 + row] = np.clip(1 - distance / REACH_PX, 0, 1)
    for box in boxes:
        np.maximum(maps[4], _fill(grid_hw, box), out=maps[4])
    if before is not None:
        maps[5] = cv2.resize(before.astype(np.float32), grid_hw[::-1], interpolation=cv2.INTER_AREA)
    return maps


def list_clicks(size_hw: tuple[int, int], clicks: Sequence[Click], at_least: int = 1) -> tuple[Float, Float]:
    """Places (N, 2) in [-1, 1] and signs (N,), padded with sign 0 to ``at_least`` entries."""
    count = max(at_least, len(clicks))
    places, signs = np.zeros((count, 2), np.float32), np.zeros(count, np.float32)
    for index, click in enumerate(clicks):
        places[index] = (2 * click.x / size_hw[1] - 1, 2 * click.y / size_hw[0] - 1)
        signs[index] = 1.0 if click.positive else -1.0
    return places, signs


def _distance(grid_hw: tuple[int, int], clicks: Sequence[Click]) -> Float:
    """(h, w): pixels from each cell's middle to the nearest click, REACH_PX or more where there is none."""
    nearest = np.full(grid_hw, 2 * REACH_PX, np.float32)
    rows = (np.arange(grid_hw[0], dtype=np.float32) + 0.5) * STRIDE
    columns = (np.arange(grid_hw[1], dtype=np.float32) + 0.5) * STRIDE
    for click in clicks:
        np.minimum(nearest, np.hypot(rows[:, None] - click.y, columns[None] - click.x), out=nearest)
    return nearest


def _fill(grid_hw: tuple[int, int], box: Box) -> Float:
    """How much of each cell the box covers."""
    return np.outer(_share(grid_hw[0], box.y0, box.y1), _share(grid_hw[1], box.x0, box.x1))


def _share(cells: int, start: float, stop: float) -> Float:
    edges = np.arange(cells + 1, dtype=np.float32) * STRIDE
    low, high = np.maximum(edges[:-1], start), np.minimum(edges[1:], stop)
    return np.asarray(np.clip((high - low) / STRIDE, 0, 1), np.float32)
