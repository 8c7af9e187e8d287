"""What holds whoever made the mask, the network or GrabCut.

Clicks keep their side, a mask that was there changes only where a click lies, nothing stands apart from what
was clicked, and a box never comes back empty.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from backends.clicks.requests import Request
from backends.core.types import Mask, PointPrompt

SHARE = 0.1  # of a box's largest part: what is smaller and was not clicked is taken for noise


def honour(found: Mask, request: Request, radius_px: int) -> Mask:
    """The mask (H, W) that was found, with what the person said put through.

    A click that it contradicts claims a disc of ``radius_px``.
    """
    mask = found.copy()
    if request.before.any() and not request.boxes:
        mask = _edited(mask, request)
    _keep_side(mask, request.points, radius_px)
    mask = _joined(mask, request)
    if request.boxes and not mask.any():
        for box in request.boxes:
            mask[int(box.y0_px) : int(np.ceil(box.y1_px)), int(box.x0_px) : int(np.ceil(box.x1_px))] = True
        _keep_side(mask, request.points, radius_px)
    return mask


def _edited(mask: Mask, request: Request) -> Mask:
    """The earlier mask with the new one's changes, but only those that a click lies in."""
    edited = request.before.copy()
    for changed, positive in ((mask & ~request.before, True), (request.before & ~mask, False)):
        _, parts = cv2.connectedComponents(changed.astype(np.uint8), connectivity=4)
        clicked = {int(parts[pixel(p)]) for p in request.points if p.positive is positive} - {0}
        edited[np.isin(parts, sorted(clicked))] = positive
    return edited


def _joined(mask: Mask, request: Request) -> Mask:
    """Only the parts that hold a positive click, overlap the earlier mask or are a good share of a box."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 1:
        return mask
    keep = set(np.unique(parts[request.before & mask]).tolist())
    keep |= {int(parts[pixel(point)]) for point in request.points if point.positive}
    if request.boxes:
        areas = stats[1:, cv2.CC_STAT_AREA]
        keep |= {index + 1 for index, area in enumerate(areas) if area >= SHARE * areas.max()}
    return np.asarray(np.isin(parts, sorted(keep - {0})), np.bool_)


def _keep_side(mask: Mask, points: Sequence[PointPrompt], radius_px: int) -> None:
    """Where a click is contradicted a disc around it changes sides; of two on one spot the later one wins."""
    for radius in (radius_px, 0):  # a later disc may cover an earlier click: its own pixel is put right again
        for point in points:
            if mask[pixel(point)] != point.positive:
                disc = np.zeros(mask.shape, np.uint8)
                row, column = pixel(point)
                cv2.circle(disc, (column, row), radius, 1, -1)
                mask[disc.astype(np.bool_)] = point.positive


def pixel(point: PointPrompt) -> tuple[int, int]:
    """(row, column) under a click that lies on the frame."""
    return int(point.y_px), int(point.x_px)
