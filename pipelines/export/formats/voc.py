"""Pascal VOC: ``JPEGImages``, ``SegmentationClass``, ``SegmentationObject``, lists and ``labelmap.txt``.

A picture is called CLIP_FRAME, because VOC knows no folders below these. 0 is background, 255 is not
labelled: the rest of whole scenes, and of a photo on which something is ticked that is not painted.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backends.core.palette import davis_palette
from pipelines.export.formats.losses import Losses
from pipelines.export.formats.pictures import put_frame, put_index_map
from pipelines.export.formats.view import (
    NOT_LABELLED,
    FrameWork,
    IdMap,
    check_labels,
    count_frames,
    flatten,
    stills,
    tell_flat,
)
from pipelines.export.project import Kind, ProjectWork
from pipelines.progress import Track, quiet

CANNOT_HOLD = (
    "voc holds one class and one object per pixel: no overlaps, tags or scores; numbers in "
    "SegmentationObject are those of one picture and follow nothing over time"
)
_MANY = "more than 254 regions, of which the last share a number: {count} pictures ({first} first)"
_SIGNS = "written with _ for signs that labelmap.txt keeps for itself: {count} labels ({first} first)"
_SPLIT = "train.txt"
_MARKS = str.maketrans({":": "_", "#": "_", "\n": " ", "\r": " ", "\t": " "})  # labelmap.txt means them


def write(work: ProjectWork, out: Path, *, progress: Track = quiet) -> tuple[str, ...]:
    """Write the project; returns what could not be held. Raises BadInput for too many labels."""
    check_labels(work, "voc")
    losses = Losses()
    names: list[str] = []
    for frame in progress(stills(work, losses), total=count_frames(work), label="voc"):
        name = flat_name(frame)
        put_frame(frame, out / "JPEGImages", name, losses)
        classes = frame.labels_map()
        tell_flat(classes, frame, losses)
        rest = NOT_LABELLED if has_unlabelled_rest(frame, work.kind) else 0
        for folder, ids in (
            ("SegmentationClass", classes.ids),
            ("SegmentationObject", _object_map(frame, work.kind, losses)),
        ):
            put_index_map(np.where(ids == 0, rest, ids), out / folder / f"{name}.png")
        names.append(name)
    listed = out / "ImageSets" / "Segmentation" / _SPLIT
    listed.parent.mkdir(parents=True)
    listed.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    (out / "labelmap.txt").write_text(_labelmap(work, losses), encoding="utf-8")
    return (CANNOT_HOLD, *losses.sentences())


def flat_name(frame: FrameWork) -> str:
    """A name for formats that keep all pictures in one folder; unique, since clips' names are."""
    return f"{frame.clip.name}_{frame.name}"


def has_unlabelled_rest(frame: FrameWork, kind: Kind) -> bool:
    """Whether the pixels without a mask say nothing, rather than "background"."""
    if kind == "weak_shot":
        opinion = frame.clip.work.mask_opinion
        return opinion is None or not opinion.painted.issuperset(frame.clip.work.tags)
    return kind == "video_semantic"


def _object_map(frame: FrameWork, kind: Kind, losses: Losses) -> IdMap:
    """Numbers from 1: the labels' own, or where regions stand for themselves one for each."""
    if kind != "weak_shot":
        return frame.labels_map().ids
    if len(frame.regions) >= NOT_LABELLED:
        losses.add(
            "more than 254 regions, of which the last share a number: {count} pictures ({first} first)", frame
        )
    ids = [min(number, NOT_LABELLED - 1) for number in range(1, len(frame.regions) + 1)]
    return flatten(frame.regions, ids, frame.clip.size_hw).ids


def _labelmap(work: ProjectWork, losses: Losses) -> str:
    """``label:r,g,b:parts:actions``, one line per class in the order of their numbers."""
    lines = ["# label:color_rgb:parts:actions"]
    colours = davis_palette()
    rest = "rest" if "background" in work.labels else "background"
    for number, label in enumerate((rest, *work.labels)):
        name = label.translate(_MARKS)
        if name != label:
            losses.add(
                "written with _ for signs that labelmap.txt keeps for itself: {count} labels ({first} first)",
                repr(label),
            )
        lines.append(f"{name}:{','.join(map(str, colours[number].tolist()))}::")
    return "\n".join(lines) + "\n"
