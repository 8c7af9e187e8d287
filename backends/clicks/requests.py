"""What one request says, checked: points, boxes and the mask the object has already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from backends.core.errors import BadMask, BadMedia
from backends.core.types import BoxPrompt, Image, Mask, PointPrompt


@dataclass(frozen=True)
class Request:
    """``before`` is (H, W) bool, empty when the object has no mask yet; boxes have an area."""

    size_hw: tuple[int, int]
    points: tuple[PointPrompt, ...]
    boxes: tuple[BoxPrompt, ...]
    before: Mask

    def with_hint(self) -> Request:
        """The request with a positive click in the middle of each box in which no click lies.

        A box alone says little of what in it is meant; its middle mostly lies on the object. A hint for the
        network only: it is no promise.
        """
        hints = tuple(
            PointPrompt(
                box.object_id, box.frame_index, (box.x0_px + box.x1_px) / 2, (box.y0_px + box.y1_px) / 2
            )
            for box in self.boxes
            if not any(_holds(box, point) for point in self.points)
        )
        return replace(self, points=self.points + hints)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to go by: no prompt, or only negative ones and nothing to take from."""
        if self.boxes or any(point.positive for point in self.points):
            return False
        return not self.points or not self.before.any()


def checked(
    image: Image, points: Sequence[PointPrompt], boxes: Sequence[BoxPrompt], previous: Mask | None
) -> Request:
    """The request, clicks moved onto the frame. Raises BadMedia or BadMask on wrong shapes."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise BadMedia(f"a frame for clicks wants (H, W, 3) uint8, got {image.shape} {image.dtype}")
    size_hw = (image.shape[0], image.shape[1])
    if previous is not None and previous.shape != size_hw:
        raise BadMask(f"earlier mask is {previous.shape}, the frame is {size_hw}: sizes must agree")
    before = np.zeros(size_hw, np.bool_) if previous is None else previous.astype(np.bool_)
    inside = tuple(
        PointPrompt(
            point.object_id,
            point.frame_index,
            float(np.clip(point.x_px, 0, size_hw[1] - 0.5)),
            float(np.clip(point.y_px, 0, size_hw[0] - 0.5)),
            point.positive,
        )
        for point in points
    )
    real = tuple(box for box in (_cut(box, size_hw) for box in boxes) if box is not None)
    return Request(size_hw, inside, real, before)


def _cut(box: BoxPrompt, size_hw: tuple[int, int]) -> BoxPrompt | None:
    """The part of a box that lies on the frame, at least one pixel of it; None for a box without area."""
    if box.x1_px <= box.x0_px or box.y1_px <= box.y0_px:
        return None
    x0, y0 = float(np.clip(box.x0_px, 0, size_hw[1] - 1)), float(np.clip(box.y0_px, 0, size_hw[0] - 1))
    x1, y1 = min(box.x1_px, size_hw[1]), min(box.y1_px, size_hw[0])
    return BoxPrompt(box.object_id, box.frame_index, x0, y0, max(x0 + 1, x1), max(y0 + 1, y1))


def _holds(box: BoxPrompt, point: PointPrompt) -> bool:
    return box.x0_px <= point.x_px < box.x1_px and box.y0_px <= point.y_px < box.y1_px
