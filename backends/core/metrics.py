"""The DAVIS metric: region similarity J and boundary accuracy F, exactly as the official toolkits do.

An object's score is its mean over the frames without the first (given) and the last one, a data set's score
the mean over objects, not over sequences. All in 0..1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.core import masks
from backends.core.errors import BadInput, BadMask
from backends.core.types import Mask

BOUNDARY_TOLERANCE = 0.008  # of the image's diagonal


@dataclass(frozen=True)
class Score:
    """J and F of one object, or their means over several, in 0..1."""

    j: float
    f: float

    @property
    def j_and_f(self) -> float:
        """The mean of J and F: the number DAVIS ranks by."""
        return (self.j + self.f) / 2


def jaccard(prediction: Mask, truth: Mask) -> float:
    """J: intersection over union, 0..1; two empty masks score 1. Raises BadMask for differing sizes."""
    return masks.iou(prediction, truth)


def boundary_f(prediction: Mask, truth: Mask, *, tolerance: float = BOUNDARY_TOLERANCE) -> float:
    """F: harmonic mean of the boundaries' precision and recall, 0..1, at ``tolerance`` of the diagonal.

    Two masks without a boundary score 1, one without scores 0. Raises BadMask for differing sizes.
    """
    if prediction.shape != truth.shape:
        raise BadMask(f"masks of different size: {prediction.shape} and {truth.shape}")
    radius_px = int(np.ceil(tolerance * np.linalg.norm(truth.shape)))
    ours, theirs = boundary(prediction), boundary(truth)
    n_ours, n_theirs = np.count_nonzero(ours), np.count_nonzero(theirs)
    if n_ours == 0 or n_theirs == 0:
        return float(n_ours == n_theirs)
    ours, theirs = _crop_to_both(ours, theirs, radius_px)
    precision = np.count_nonzero(ours & _dilate(theirs, radius_px)) / n_ours
    recall = np.count_nonzero(theirs & _dilate(ours, radius_px)) / n_theirs
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def boundary(mask: Mask) -> NDArray[np.uint8]:
    """(H, W) bool -> (H, W) uint8 {0, 1}: pixels that differ from the one to the east, south or south-east.

    The last column looks south only, the last row east only; the last corner is never boundary.
    """
    seg = np.ascontiguousarray(mask).view(np.uint8)
    edge = np.zeros_like(seg)
    here = seg[:-1, :-1]
    edge[:-1, :-1] = (here ^ seg[:-1, 1:]) | (here ^ seg[1:, :-1]) | (here ^ seg[1:, 1:])
    edge[-1, :-1] = seg[-1, :-1] ^ seg[-1, 1:]
    edge[:-1, -1] = seg[:-1, -1] ^ seg[1:, -1]
    return edge


def score_object(predictions: Sequence[Mask], truths: Sequence[Mask]) -> Score:
    """J and F of one object in one sequence: means over the frames without the first and the last.

    Both hold one mask per frame. Raises BadInput for differing lengths or fewer than three frames.
    """
    return mean_score(Score(jaccard(p, t), boundary_f(p, t)) for p, t in _inner(predictions, truths))


def mean_score(scores: Iterable[Score]) -> Score:
    """The plain mean of J and of F, over objects or over frames. Raises BadInput when there is none."""
    listed = list(scores)
    if not listed:
        raise BadInput("no scores to average: at least one object on at least three frames is needed")
    return Score(float(np.mean([s.j for s in listed])), float(np.mean([s.f for s in listed])))


def _inner(predictions: Sequence[Mask], truths: Sequence[Mask]) -> Iterable[tuple[Mask, Mask]]:
    if len(predictions) != len(truths):
        raise BadInput(
            f"{len(predictions)} predicted masks for {len(truths)} true masks; wants one per frame"
        )
    if len(truths) < 3:
        raise BadInput(
            f"{len(truths)} frames: the metric leaves out the first and the last, so it wants 3 or more"
        )
    return zip(predictions[1:-1], truths[1:-1], strict=True)


def _crop_to_both(
    ours: NDArray[np.uint8], theirs: NDArray[np.uint8], radius_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    # Nothing further than the radius from both boundaries can match, and a crop dilates several times faster.
    x, y, width, height = cv2.boundingRect(ours | theirs)
    rows = slice(max(0, y - radius_px), y + height + radius_px)
    columns = slice(max(0, x - radius_px), x + width + radius_px)
    return ours[rows, columns], theirs[rows, columns]


def _dilate(edge: NDArray[np.uint8], radius_px: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.dilate(edge, _disk(radius_px)), np.uint8)


@cache
def _disk(radius_px: int) -> NDArray[np.uint8]:
    """All pixels with x² + y² <= radius²: the same footprint as ``skimage.morphology.disk``."""
    reach = np.arange(-radius_px, radius_px + 1)
    return (reach[:, None] ** 2 + reach[None, :] ** 2 <= radius_px**2).astype(np.uint8)
