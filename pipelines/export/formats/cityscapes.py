"""Cityscapes: ``leftImg8bit/train/CITY`` and ``gtFine/train/CITY`` with labelIds and instanceIds.

A clip is a city, its task the sequence, a frame the frame. Where every label is one of Cityscapes' own, ids
are the official ones; else the labels' numbers, and ``label_colors.txt`` says which is which.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from backends.core.palette import davis_palette
from pipelines.export.formats.losses import Losses
from pipelines.export.formats.pictures import put_frame_as_png
from pipelines.export.formats.view import (
    FrameWork,
    IdMap,
    check_labels,
    count_frames,
    flatten,
    frame_names,
    stills,
    tell_flat,
)
from pipelines.export.project import Kind, ProjectWork
from pipelines.progress import Track, quiet

CANNOT_HOLD = (
    "cityscapes holds one instance per pixel and pictures as PNG: no overlaps, no tags, no original JPEGs, "
    "and no polygons are written"
)
SPLIT = "train"
OFFICIAL = (
    *("unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground"),
    *("road", "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge"),
    *("tunnel", "pole", "polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky"),
    *("person", "rider", "car", "truck", "bus", "caravan", "trailer", "train", "motorcycle", "bicycle"),
)
"""The benchmark's classes in the order of their ids."""

_OWN_IDS = "not all labels are Cityscapes' own, so ids are those in label_colors.txt, unknown to its programs"
_SPACES = "written with _ for spaces in label_colors.txt: {count} labels ({first} first)"
_MOST_INSTANCES = 999  # label id * 1000 + instance


def write(work: ProjectWork, out: Path, *, progress: Track = quiet) -> tuple[str, ...]:
    """Write the project; returns what could not be held. Raises BadInput for too many labels."""
    check_labels(work, "cityscapes")
    losses = Losses()
    ids = _label_ids(work.labels)
    for frame in progress(stills(work, losses), total=count_frames(work), label="cityscapes"):
        city = re.sub(r"[^0-9A-Za-z]+", "-", frame.clip.name).strip("-") or "clip"
        name = f"{city}_{frame.clip.work.task_id:06d}_{_number(frame):06d}"
        put_frame_as_png(frame, out / "leftImg8bit" / SPLIT / city / f"{name}_leftImg8bit.png")
        flat = flatten(frame.regions, [ids[one.label] for one in frame.regions], frame.clip.size_hw)
        tell_flat(flat, frame, losses)
        home = out / "gtFine" / SPLIT / city
        home.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(flat.ids.astype(np.uint8)).save(home / f"{name}_gtFine_labelIds.png")
        instances = _instances(frame, work.kind, ids).astype(np.uint16)
        Pillow.fromarray(instances).save(home / f"{name}_gtFine_instanceIds.png")
    if tuple(ids.values()) == tuple(range(1, len(ids) + 1)):
        losses.add(_OWN_IDS)
        (out / "label_colors.txt").write_text(_colours(work.labels, losses), encoding="utf-8")
    return (CANNOT_HOLD, *losses.sentences())


def _label_ids(labels: tuple[str, ...]) -> dict[str, int]:
    """The official ids where all labels have one, else the labels' numbers."""
    official = {name.replace(" ", ""): number for number, name in enumerate(OFFICIAL)}
    found = {label: official.get(label.lower().replace(" ", "")) for label in labels}
    known = {label: number for label, number in found.items() if number}
    return known if len(known) == len(labels) else {label: i for i, label in enumerate(labels, 1)}


def _instances(frame: FrameWork, kind: Kind, ids: dict[str, int]) -> IdMap:
    """The label's id for classes of whole scenes; else 1000 times it, plus the instance's place."""
    if kind == "video_semantic":
        numbers = [ids[one.label] for one in frame.regions]
        return flatten(frame.regions, numbers, frame.clip.size_hw).ids
    if kind == "video_object":
        numbers = [ids[one.label] * 1000 for one in frame.regions]
        return flatten(frame.regions, numbers, frame.clip.size_hw).ids
    seen: dict[str, int] = {}
    numbers = []
    for one in frame.regions:
        place = seen[one.label] = seen.get(one.label, -1) + 1
        numbers.append(ids[one.label] * 1000 + min(place, _MOST_INSTANCES))
    return flatten(frame.regions, numbers, frame.clip.size_hw).ids


def _number(frame: FrameWork) -> int:
    """The source's frame number where the names are numbers, else the place in the clip."""
    names = frame_names(frame.clip)
    if all(name.isascii() and name.isdecimal() and len(name) <= 6 for name in names):
        return int(frame.name)
    return frame.index


def _colours(labels: tuple[str, ...], losses: Losses) -> str:
    lines = ["0 0 0 unlabeled"]
    for number, label in enumerate(labels, 1):
        name = "_".join(label.split())
        if name != label:
            losses.add(_SPACES, repr(label))
        lines.append(f"{' '.join(map(str, davis_palette()[number].tolist()))} {name}")
    return "\n".join(lines) + "\n"
