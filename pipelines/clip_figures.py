"""How steady a labelled clip is, for the console: worked out in the worker, which has the frames at hand.

The figures are the temporal consistency of ``backends.video_semantic.consistency``, one pair of neighbours
after the other. Each clip takes a bounded time; what goes wrong is kept in words and harms no job.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadInput, BadMedia, MaskLoopError
from backends.core.types import FrameMasks, Image
from backends.ledger import ClipFigures, JobRow, Pair
from backends.queues.requests import LABEL_CLIP
from backends.video_semantic.consistency import IGNORE, SMALLEST, Consistency, Labels
from pipelines.working.collaborators import Collaborators

log = logging.getLogger(__name__)

PIXELS = 480 * 854
"""Larger frames are compared on a smaller copy."""

WHOLE_FRAMES = 50
"""A longer clip is compared on copies so small that it takes no longer than one of so many frames."""

_MOST_LABELS = IGNORE - 1  # one more number stands for "no label"


def measure(work: Collaborators, job_id: str) -> None:
    """Keep the figures of a done job's labels, unless they are there. Never raises for a clip."""
    row = work.ledger.job(job_id)
    if row.kind != LABEL_CLIP or row.state != "done":
        return
    known = work.ledger.clip_figures(job_id)
    if known is not None and not known.trouble:
        return
    try:
        figures = _Clip(work, row).figures()
    except _Stopping:
        return  # the console says that there are none and offers to ask again
    except MaskLoopError as error:
        figures = ClipFigures(trouble=str(error))
    except Exception as error:
        log.exception("job %s: its steadiness could not be measured", job_id)
        figures = ClipFigures(trouble=f"unexpected {type(error).__name__}; the worker's log has the details")
    work.ledger.put_clip_figures(job_id, figures)


class _Stopping(Exception):  # noqa: N818 - never leaves this module
    """The worker was asked to stop."""


@dataclass(frozen=True)
class _Seen:
    """A frame and its labels at the size they are compared in."""

    image: Image
    labels: Labels


@dataclass
class _Clip:
    """The labels of one job beside its frames; holds two of them at a time."""

    work: Collaborators
    row: JobRow
    unread: dict[int, str] = field(default_factory=dict)

    def figures(self) -> ClipFigures:
        """Compare all neighbours. Raises BadMedia or Unavailable when the clip's frames are not there."""
        names = list(self.row.payload["labels"])
        if len(names) > _MOST_LABELS:
            raise BadInput(f"{len(names)} labels; at most {_MOST_LABELS} can be told apart here")
        steady = Consistency(len(names) + 1)
        pairs: list[Pair] = []
        before: _Seen | None = None
        for index, seen in enumerate(self._frames(names)):
            if index:
                pairs.append(_pair(steady, before, seen, names))
            before = seen
        every, visible = by_name(names, steady.per_class), by_name(names, steady.per_class_occ)
        return ClipFigures(tuple(pairs), every, visible, self.unread)

    def _frames(self, names: Sequence[str]) -> Iterator[_Seen | None]:
        """Each frame in order, None for one that cannot be compared; ``unread`` says why."""
        clip = self.work.clip(self.row)
        for index in range(self.row.total):
            if self.work.stopping():
                raise _Stopping
            try:
                yield self._seen(clip.frames[index], self.work.ledger.frame(self.row.id, index), names)
            except BadMedia as error:
                self.unread[index] = str(error)
                yield None

    def _seen(self, image: Image, frame: FrameMasks | None, names: Sequence[str]) -> _Seen:
        from backends.video_semantic.reader import resized_labels

        if frame is None or not any(mask.any() for mask in frame.masks.values()):
            raise BadMedia("no label was given on this frame")
        height, width = compared_hw(self.row.size_hw, self.row.total)
        if min(height, width) < SMALLEST:
            raise BadMedia(
                f"{width}x{height} pixels are too few to follow a motion; wants {SMALLEST} or more"
            )
        labels = resized_labels(label_map(frame, names, self.row.size_hw), (height, width))
        if image.shape[:2] != (height, width):
            image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        return _Seen(image, labels)


def _pair(steady: Consistency, before: _Seen | None, seen: _Seen | None, names: Sequence[str]) -> Pair:
    from backends.video_semantic.stream import begins_scene

    if before is None or seen is None:
        return Pair("unread")
    if begins_scene(before.image, seen.image):
        return Pair("cut")
    found = steady.add(before.image, seen.image, before.labels, seen.labels)
    return Pair("measured", by_name(names, found.per_class), by_name(names, found.per_class_occ))


def compared_hw(size_hw: tuple[int, int], n_frames: int) -> tuple[int, int]:
    """The size in which frames of ``size_hw`` are compared, so that the time for a clip is bounded."""
    limit = PIXELS * min(1.0, WHOLE_FRAMES / n_frames)
    share = min(1.0, math.sqrt(limit / (size_hw[0] * size_hw[1])))
    return max(1, math.floor(size_hw[0] * share)), max(1, math.floor(size_hw[1] * share))


def label_map(frame: FrameMasks, names: Sequence[str], size_hw: tuple[int, int]) -> Labels:
    """(H, W) uint8: the number of each pixel's label, ``len(names)`` where it has none."""
    labels = np.full(size_hw, len(names), np.uint8)
    for name, mask in frame.masks.items():
        labels[mask] = names.index(name)
    return labels


def by_name(names: Sequence[str], values: NDArray[np.float64]) -> Mapping[str, float]:
    """Of the labels that have a value; the last value, of no label, is left out."""
    named = zip(names, values[: len(names)], strict=True)
    return {name: round(float(value), 4) for name, value in named if np.isfinite(value)}
