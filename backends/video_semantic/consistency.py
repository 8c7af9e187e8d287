"""Temporal consistency: does the answer stay with the things it was given for, from frame to frame?

As ETC defines it (Liu et al., "Efficient Semantic Video Segmentation with Per-frame Inference", ECCV 2020)
and STT takes it over: the mean IoU between the answer at t and the answer at t+1 carried back along the
motion of the picture, over all pairs of neighbours. Class ids are carried to the nearest pixel, what comes
from outside the frame does not count, and the motion (DIS, Kroeger et al., ECCV 2016) is of the frames as
they are scored. Published figures use other flows and borders: compare within one implementation only. A
constant wrong answer is perfectly consistent, so this number always stands beside the mean IoU.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.core.confusion import Confusion
from backends.core.errors import BadMedia
from backends.core.types import Image

IGNORE = 255
SMALLEST = 16
"""Pixels; DIS has nothing to match in less."""

Labels = NDArray[np.uint8]
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Motion:
    """Where the pixels of a frame are in the next one."""

    flow: Float
    """(H, W, 2) px to the right and down: pixel x of frame t is at x + flow(x) in frame t+1."""
    seen: NDArray[np.bool_]
    """(H, W): flow there and back agree, so the pixel is not covered in the next frame."""


def motion(frame: Image, following: Image) -> Motion:
    """The motion between two frames, (H, W, 3) RGB uint8 of one size. Raises BadMedia for other shapes."""
    if frame.shape != following.shape or min(frame.shape[:2]) < SMALLEST:
        raise BadMedia(
            f"frames of {_size(frame)} and {_size(following)}: wants two of one size, {SMALLEST} px or more"
        )
    grey, later = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (frame, following))
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    there = np.asarray(search.calc(grey, later, None), np.float32)  # type: ignore[call-overload]
    back = np.asarray(search.calc(later, grey, None), np.float32)  # type: ignore[call-overload]
    return Motion(there, agreeing(there, back))


def agreeing(there: Float, back: Float) -> NDArray[np.bool_]:
    """(H, W): ``|f + b(x + f)|^2 < .01 (|f|^2 + |b|^2) + .5`` and x + f within the frame.

    Forward-backward check of Sundaram et al., ECCV 2010, with the constants of UnFlow (AAAI 2018).
    """
    height, width = there.shape[:2]
    at = there + _grid(height, width)
    inside = ((at >= 0) & (at <= (width - 1, height - 1))).all(-1)
    carried = np.asarray(_remap(back, there, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE), np.float32)
    gap = ((there + carried) ** 2).sum(-1)
    length = (there**2).sum(-1) + (carried**2).sum(-1)
    seen: NDArray[np.bool_] = inside & (gap < 0.01 * length + 0.5)
    return seen


def carried_back(labels: Labels, flow: Float) -> Labels:
    """The label map of frame t+1 seen from frame t, nearest pixel; IGNORE for what left the frame."""
    return np.asarray(_remap(labels, flow, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT), np.uint8)


@dataclass(frozen=True)
class Agreement:
    """IoU per class (n,) of one pair of neighbours; NaN for a class that neither of them shows."""

    per_class: NDArray[np.float64]
    per_class_occ: NDArray[np.float64]
    """Over the pixels that both frames see."""


class Consistency:
    """Gathers pairs of neighbours; ratios come after. Label maps hold 0..n-1, or 255 for "do not count"."""

    def __init__(self, n_classes: int) -> None:
        self._all, self._visible = Confusion(n_classes), Confusion(n_classes)
        self.pairs = 0

    def add(self, frame: Image, following: Image, labels: Labels, later: Labels) -> Agreement:
        """Count one pair: two frames and the label maps (H, W) given for them."""
        return self.add_moved(motion(frame, following), labels, later)

    def add_moved(self, moved: Motion, labels: Labels, later: Labels) -> Agreement:
        """The same with the motion at hand: it is worked out once and shared by everything compared."""
        carried = carried_back(later, moved.flow)
        carried[labels == IGNORE] = IGNORE
        known = np.where(labels == IGNORE, 0, labels)
        pair, visible = Confusion(self._all.n_classes), Confusion(self._all.n_classes)
        pair.add(carried, known)
        visible.add(np.where(moved.seen, carried, IGNORE), known)
        self._all.merge(pair)
        self._visible.merge(visible)
        self.pairs += 1
        return Agreement(pair.iou(), visible.iou())

    @property
    def overall(self) -> float:
        """Mean over the classes, 0..1; NaN before the first pair."""
        return self._all.miou()

    @property
    def per_class(self) -> NDArray[np.float64]:
        """(n,) 0..1; NaN for a class that never showed."""
        return self._all.iou()

    @property
    def overall_occ(self) -> float:
        """Like :attr:`overall`, over the pixels that both frames see."""
        return self._visible.miou()

    @property
    def per_class_occ(self) -> NDArray[np.float64]:
        """Like :attr:`per_class`, over the pixels that both frames see."""
        return self._visible.iou()


def _remap(values: Labels | Float, flow: Float, how: int, border: int) -> NDArray[np.generic]:
    at = _grid(*flow.shape[:2]) + flow
    found = cv2.remap(values, at[..., 0], at[..., 1], how, borderMode=border, borderValue=IGNORE)
    return np.asarray(found)


def _grid(height: int, width: int) -> Float:
    """(H, W, 2): the pixels' own (x, y)."""
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack((columns, rows), -1)


def _size(picture: Image) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]} px"
