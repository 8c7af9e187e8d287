"""A mask from a few clicks or a box, by GrabCut on a window around them.

GrabCut needs to be told where the object may lie. That guess comes, in this order of trust, from a box, from
the mask the object already has on this frame, and from the pixels around a click that look like it. What the
person said outright is never given away: positive clicks end inside the mask, negative ones outside. Where
there is a mask already, clicks change it around themselves and leave the rest as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.clicks.promises import honour
from backends.clicks.requests import checked
from backends.core.types import BoxPrompt, Image, Mask, PointPrompt

WORK_SIDE_PX = 320  # GrabCut runs on a window scaled to this: about 0.3 s on one core
ITERATIONS = 4
REACH = 0.42  # a lone click may claim an object of up to this share of the frame's shorter side, each way
MARGIN = 0.25  # the window around a box or an earlier mask grows by this share, so that background is seen
LOOKS_LIKE_LAB = 26.0  # CIELAB distance up to which a pixel may belong to the clicked surface

Labels = NDArray[np.uint8]  # (h, w) of cv2.GC_BGD, GC_FGD, GC_PR_BGD, GC_PR_FGD


@dataclass(frozen=True)
class _Window:
    """A part of the frame in pixels, bounds as in slices, and the scale at which it is worked on."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def scale(self) -> float:
        return min(1.0, WORK_SIDE_PX / max(self.x1 - self.x0, self.y1 - self.y0))

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def shrink(self, array: NDArray[np.uint8], how: int) -> NDArray[np.uint8]:
        """The window of a frame-sized array, at working scale."""
        part = np.ascontiguousarray(array[self.slices])
        size = (max(4, round(part.shape[1] * self.scale)), max(4, round(part.shape[0] * self.scale)))
        return np.asarray(cv2.resize(part, size, interpolation=how), np.uint8)


def grabcut_mask(
    image: Image,
    points: Sequence[PointPrompt],
    boxes: Sequence[BoxPrompt] = (),
    previous: Mask | None = None,
) -> Mask:
    """One object's mask on one frame, (H, W) bool, from clicks, boxes and the mask it already has.

    ``image`` is (H, W, 3) RGB uint8; ``previous`` is (H, W) or None. With no prompt at all the previous mask
    comes back unchanged (empty when there is none). Raises BadMedia or BadMask on wrong shapes.
    """
    request = checked(image, points, boxes, previous)
    if request.is_idle:
        return request.before.copy()
    said = (request.points, request.boxes, request.before)
    window = _window(request.size_hw, *said)
    radius = max(2, round(0.006 * max(request.size_hw)))
    mask = np.zeros(request.size_hw, np.bool_)
    mask[window.slices] = _cut(image, _seeds(image, *said, radius), window)
    return honour(mask, request, radius)


def _window(
    size_hw: tuple[int, int], points: Sequence[PointPrompt], boxes: Sequence[BoxPrompt], before: Mask
) -> _Window:
    """The part of the frame that can matter: boxes and the earlier mask with a margin, or a click's reach."""
    height, width = size_hw
    spans = [(box.x0_px, box.y0_px, box.x1_px, box.y1_px) for box in boxes]
    if before.any():
        rows, columns = np.flatnonzero(before.any(1)), np.flatnonzero(before.any(0))
        spans.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    if spans:
        grow = MARGIN * max(max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in spans) + 8
    else:
        grow = REACH * min(size_hw)
    spans += [(point.x_px, point.y_px, point.x_px, point.y_px) for point in points if point.positive]
    x0 = min(span[0] for span in spans) - grow
    y0 = min(span[1] for span in spans) - grow
    x1 = max(span[2] for span in spans) + grow
    y1 = max(span[3] for span in spans) + grow
    left, top = int(np.clip(x0, 0, width - 8)), int(np.clip(y0, 0, height - 8))
    return _Window(
        max(0, left), max(0, top), int(np.clip(x1, left + 8, width)), int(np.clip(y1, top + 8, height))
    )


def _seeds(
    image: Image, points: Sequence[PointPrompt], boxes: Sequence[BoxPrompt], before: Mask, radius: int
) -> Labels:
    """What GrabCut is told to begin with, at frame size: sure and probable object and background."""
    labels = np.full(image.shape[:2], cv2.GC_PR_BGD, np.uint8)
    if boxes:
        inside = _inside(boxes, before.shape)
        labels[~(inside | before)] = cv2.GC_BGD
        labels[inside] = cv2.GC_PR_FGD
    if before.any():
        labels[before] = cv2.GC_PR_FGD
        if all(point.positive for point in points):  # a negative click casts doubt on all of it
            core = cv2.erode(before.astype(np.uint8), _disc(2 * radius)).astype(np.bool_)
            labels[core] = cv2.GC_FGD
    for point in points:
        if not boxes:
            near = _looks_like(image, point, radius)
            # A click is news where it contradicts the earlier mask; elsewhere it only confirms.
            labels[near & (before != point.positive)] = cv2.GC_PR_FGD if point.positive else cv2.GC_PR_BGD
    for point in points:
        labels[_spot(point, before.shape, radius)] = cv2.GC_FGD if point.positive else cv2.GC_BGD
    return labels


def _looks_like(image: Image, point: PointPrompt, radius: int) -> Mask:
    """Pixels joined to the click and of its colour, within reach of it; (H, W) bool."""
    height, width = image.shape[:2]
    smooth = cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 1.2), cv2.COLOR_RGB2LAB).astype(np.float32)
    spot = _spot(point, (height, width), radius)
    reach = _spot(point, (height, width), round(REACH * min(height, width)))
    close = np.linalg.norm(smooth - np.median(smooth[spot], axis=0), axis=2) < LOOKS_LIKE_LAB
    _, parts = cv2.connectedComponents(((close & reach) | spot).astype(np.uint8), connectivity=4)
    x, y = _pixel(point, (height, width))
    return np.asarray(parts == parts[y, x], np.bool_)


def _cut(image: Image, seeds: Labels, window: _Window) -> Mask:
    """GrabCut on the window; returns the window's mask at frame scale."""
    small = cv2.cvtColor(window.shrink(image, cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
    labels = window.shrink(seeds, cv2.INTER_NEAREST)
    shape = (window.y1 - window.y0, window.x1 - window.x0)
    object_there = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if object_there.all() or not object_there.any():
        return np.full(shape, bool(object_there.all()))
    cv2.setRNGSeed(1)  # its k-means draws from a per-thread generator: same clicks, same mask
    back, fore = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, labels, (0, 0, 1, 1), back, fore, ITERATIONS, cv2.GC_INIT_WITH_MASK)
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    full = cv2.resize(found, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full > 0.5, np.bool_)


def _inside(boxes: Sequence[BoxPrompt], size_hw: tuple[int, ...]) -> Mask:
    inside = np.zeros(size_hw[:2], np.bool_)
    for box in boxes:
        left, top = max(0, round(box.x0_px)), max(0, round(box.y0_px))
        inside[top : max(top + 1, round(box.y1_px)), left : max(left + 1, round(box.x1_px))] = True
    return inside


def _spot(point: PointPrompt, size_hw: tuple[int, ...], radius: int) -> Mask:
    spot = np.zeros(size_hw[:2], np.uint8)
    cv2.circle(spot, _pixel(point, size_hw), radius, 1, -1)
    return spot.astype(np.bool_)


def _pixel(point: PointPrompt, size_hw: tuple[int, ...]) -> tuple[int, int]:
    """The pixel under a click as (x, y); a click on the very edge counts as the edge pixel."""
    return int(np.clip(point.x_px, 0, size_hw[1] - 1)), int(np.clip(point.y_px, 0, size_hw[0] - 1))


def _disc(radius: int) -> NDArray[np.uint8]:
    shape = (2 * radius + 1, 2 * radius + 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, shape), np.uint8)
