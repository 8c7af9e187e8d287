"""What a format writes of a project: its frames with the masks that count, and what a plane keeps.

Numbers of labels follow the configuration, from 1, in every clip and format: an object keeps its number
however often it is exported. Where masks overlap, the same is seen as in snapshots: of objects the later
label, so that nothing flickers; of classes a person's mask over a model's, then the later one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadInput
from backends.core.types import Mask
from pipelines.export.annotations import SavedMask
from pipelines.export.formats.losses import Losses
from pipelines.export.project import LabelledClip, ProjectWork

MOST_LABELS = 254
"""Of an index map: a byte per pixel, 0 is background and 255 "not labelled"."""

NOT_LABELLED = 255

_UNREADABLE = "left out, for a mask in them cannot be read: {count} frames ({first} first)"
_WITHOUT = "left out, for they have no mask: {count} frames ({first} first)"
_OVERLAP = "pixels of several objects, given to the topmost: {amount} on {count} frames ({first} first)"
_HIDDEN = "lost, for they lie wholly under others: {count} masks ({first} first)"
_TAGS_ONLY = "left out, for they have tags and no mask: {count} tasks ({first} first)"

_SAFE = re.compile(r"[^\W_][\w .()+-]*")  # of a frame's file name: no separators, nothing hidden
_LONGEST = 120

IdMap = NDArray[np.uint32]  # (H, W)


@dataclass(frozen=True)
class Thing:
    """One object on one frame, or one region of a class."""

    number: int
    """Of its label."""
    label: str
    mask: Mask  # (H, W) bool
    regions: tuple[SavedMask, ...]
    """What it is made of."""

    @property
    def area(self) -> int:
        """Pixels."""
        return int(self.mask.sum())

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width and height in pixels; the mask is not empty."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        x, y = int(columns[0]), int(rows[0])
        return x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1


@dataclass(frozen=True)
class Flat:
    """Things in one plane. ``covered`` counts the pixels of things that lie under others."""

    ids: IdMap
    covered: int
    hidden: tuple[str, ...]
    """Labels of things of which nothing is seen."""


@dataclass(frozen=True)
class FrameWork:
    """One frame of a clip with the masks that count there."""

    clip: LabelledClip
    index: int
    """Label Studio's ``item_index``."""
    name: str
    """Of its files, without suffix."""
    saved: tuple[SavedMask, ...]
    labels: tuple[str, ...]
    """Of the project."""

    @property
    def path(self) -> Path:
        """The picture."""
        return self.clip.frames[self.index]

    def __str__(self) -> str:
        return f"{self.clip.name}/{self.name}"

    @cached_property
    def regions(self) -> tuple[Thing, ...]:
        """One per region and label, from the bottom to the top."""
        return tuple(Thing(self._number(one.label), one.label, one.mask, (one,)) for one in self.saved)

    @cached_property
    def objects(self) -> tuple[Thing, ...]:
        """One per label, regions united, in the order of the labels."""
        found: dict[int, Thing] = {}
        for one in self.regions:
            there = found.get(one.number)
            found[one.number] = one if there is None else _united(there, one)
        return tuple(found[number] for number in sorted(found))

    def labels_map(self) -> Flat:
        """The number of the topmost label at each pixel, 0 where there is none."""
        return flatten(self.regions, [one.number for one in self.regions], self.clip.size_hw)

    def _number(self, label: str) -> int:
        return self.labels.index(label) + 1


def flatten(things: Sequence[Thing], ids: Sequence[int], size_hw: tuple[int, int]) -> Flat:
    """Things in one plane under these ids (above 0; several may share one), later ones on top."""
    plane = np.zeros(size_hw, np.uint32)
    whole: dict[int, Mask] = {}
    labels: dict[int, str] = {}
    for thing, number in zip(things, ids, strict=True):
        plane[thing.mask] = number
        whole[number] = whole[number] | thing.mask if number in whole else thing.mask
        labels[number] = thing.label
    seen = {number: int(np.count_nonzero(plane == number)) for number in whole}
    covered = sum(int(mask.sum()) - seen[number] for number, mask in whole.items())
    return Flat(plane, covered, tuple(labels[number] for number, count in seen.items() if not count))


def clips_with_masks(work: ProjectWork, losses: Losses) -> list[LabelledClip]:
    """The clips that have something to draw; photos with nothing but tags are told."""
    found = []
    for clip in work.clips:
        if clip.work.mask_opinion is None:
            losses.add(_TAGS_ONLY, clip.name)
        else:
            found.append(clip)
    return found


def frames_of(clip: LabelledClip, work: ProjectWork, losses: Losses) -> Iterator[FrameWork]:
    """Every frame of a clip, those without a mask too; left out and told where a mask cannot be read."""
    opinion = clip.work.mask_opinion
    names = frame_names(clip)
    for index, name in enumerate(names):
        saved = [mask for mask in opinion.masks if mask.frame_index == index] if opinion else []
        frame = FrameWork(clip, index, name, _stacked(saved, work), work.labels)
        if opinion and index in opinion.doubtful_frames:
            losses.add(_UNREADABLE, frame)
        else:
            yield frame


def stills(work: ProjectWork, losses: Losses) -> Iterator[FrameWork]:
    """The frames that stand for themselves in a format of pictures.

    Those of whole scenes that have no mask are left out and told. A frame of a clip of objects without any is
    a picture on which there is none.
    """
    for clip in clips_with_masks(work, losses):
        for frame in frames_of(clip, work, losses):
            if frame.saved or work.kind == "video_object":
                yield frame
            else:
                losses.add(_WITHOUT, frame)


def count_frames(work: ProjectWork) -> int:
    """At most so many frames are written."""
    return sum(len(clip.frames) for clip in work.clips if clip.work.mask_opinion)


def frame_names(clip: LabelledClip) -> tuple[str, ...]:
    """The frames' file names without suffix: the source's own where the task tells them (``names``), else
    those of the files, else the frame numbers."""
    told = clip.data.get("names")
    for names in (tuple(map(str, told)) if isinstance(told, list) else (), clip.names):
        unique = len({name.casefold() for name in names}) == len(clip.frames) == len(names)
        if unique and all(len(name) <= _LONGEST and _SAFE.fullmatch(name) for name in names):
            return names
    return tuple(f"{index:05d}" for index in range(len(clip.frames)))


def check_labels(work: ProjectWork, format_name: str) -> None:
    """Raise BadInput when the project has more labels than an index map holds."""
    if len(work.labels) > MOST_LABELS:
        raise BadInput(
            f"the project has {len(work.labels)} labels; {format_name} holds at most {MOST_LABELS}. "
            "coco and coco-panoptic hold them all"
        )


def tell_flat(flat: Flat, frame: FrameWork, losses: Losses) -> None:
    """Say what was lost in making one plane of the frame's masks."""
    if flat.covered:
        losses.add(_OVERLAP, frame, flat.covered)
    for label in flat.hidden:
        losses.add(_HIDDEN, f"{label!r} on {frame}")


def _united(one: Thing, other: Thing) -> Thing:
    return Thing(one.number, one.label, one.mask | other.mask, one.regions + other.regions)


def _stacked(saved: Sequence[SavedMask], work: ProjectWork) -> tuple[SavedMask, ...]:
    """From the bottom to the top; what came later lies over what came earlier of the same rank."""
    if work.kind == "video_object":
        return tuple(sorted(saved, key=lambda mask: work.labels.index(mask.label)))
    return tuple(sorted(saved, key=lambda mask: mask.origin != "accepted"))
