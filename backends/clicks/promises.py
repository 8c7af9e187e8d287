"""What holds whatever the network thinks: clicks keep their side, and a box never comes back empty."""

from __future__ import annotations

import cv2
import numpy as np

from backends.clicks.requests import Request
from backends.core.types import Mask, PointPrompt

SPOT = 0.004  # a contradicted click claims a disc of this share of the frame's longer side


def honour(found: Mask, request: Request) -> Mask:
    """The network's mask (H, W) with what the person said put through."""
    mask = found.copy()
    radius = max(1, round(SPOT * max(request.size_hw)))
    _keep_side(mask, request.points, radius)
    if request.boxes and not mask.any():
        for box in request.boxes:
            mask[round(box.y0_px) : round(box.y1_px), round(box.x0_px) : round(box.x1_px)] = True
        _keep_side(mask, request.points, radius)
    return mask


def _keep_side(mask: Mask, points: tuple[PointPrompt, ...], radius: int) -> None:
    """Where a click is contradicted a disc around it changes sides; of two on one spot the later one wins."""
    for _ in range(2):  # a later disc may cover an earlier click: its own pixel is put right again
        for point in points:
            row, column = pixel(point)
            if mask[row, column] != point.positive:
                disc = np.zeros(mask.shape, np.uint8)
                cv2.circle(disc, (column, row), radius, 1, -1)
                mask[disc.astype(np.bool_)] = point.positive
        radius = 0


def pixel(point: PointPrompt) -> tuple[int, int]:
    """(row, column) under a click that lies on the frame."""
    return int(point.y_px), int(point.x_px)
