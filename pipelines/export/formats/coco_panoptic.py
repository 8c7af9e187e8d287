"""COCO panoptic: pictures, ``annotations/panoptic_train.json`` and beside it a PNG per picture.

A segment's id is R + 256 G + 65536 B of its pixels: the object's number, or for classes whose regions stand
for themselves a count from 1. Pixels of no segment are 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from backends.core.palette import davis_palette
from pipelines.export.formats import coco
from pipelines.export.formats.losses import Losses
from pipelines.export.formats.view import (
    FrameWork,
    IdMap,
    Thing,
    count_frames,
    flatten,
    stills,
    tell_flat,
)
from pipelines.export.project import ProjectWork
from pipelines.progress import Track, quiet

CANNOT_HOLD = "coco-panoptic holds one segment per pixel: no overlaps, no tags, no second label on a region"

_NAME = f"panoptic_{coco.SUBSET}"


def write(work: ProjectWork, out: Path, *, progress: Track = quiet) -> tuple[str, ...]:
    """Write the project; returns what could not be held."""
    losses = Losses()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for frame in progress(stills(work, losses), total=count_frames(work), label="coco-panoptic"):
        images.append(coco.put_image(frame, out, losses))
        things, ids = segments(frame, work.kind == "weak_shot")
        flat = flatten(things, ids, frame.clip.size_hw)
        tell_flat(flat, frame, losses)
        name = f"{frame.clip.name}/{frame.name}.png"
        _put_ids(flat.ids, out / "annotations" / _NAME / name)
        annotations.append(
            {
                "image_id": images[-1]["id"],
                "file_name": name,
                "segments_info": _segments_info(flat.ids, dict(zip(ids, things, strict=True))),
            }
        )
    told = {
        "info": {"description": work.title, "project": work.project_id, "kind": work.kind},
        "licenses": [],
        "images": images,
        "categories": _categories(work),
        "annotations": annotations,
    }
    coco.put_json(told, out / "annotations" / f"{_NAME}.json")
    return (CANNOT_HOLD, *losses.sentences())


def segments(frame: FrameWork, each_region: bool) -> tuple[tuple[Thing, ...], tuple[int, ...]]:
    """What becomes a segment, in the order of painting, and the ids."""
    if each_region:
        return frame.regions, tuple(range(1, len(frame.regions) + 1))
    return frame.regions, tuple(one.number for one in frame.regions)


def _segments_info(ids: IdMap, things: dict[int, Thing]) -> list[dict[str, Any]]:
    found = []
    for number, thing in sorted(things.items()):
        seen = Thing(thing.number, thing.label, ids == number, thing.regions)
        if seen.area:
            found.append(
                {
                    "id": number,
                    "category_id": thing.number,
                    "area": seen.area,
                    "bbox": list(seen.box),
                    "iscrowd": 0,
                }
            )
    return found


def _put_ids(ids: IdMap, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], axis=-1).astype(np.uint8)
    Pillow.fromarray(rgb).save(target)


def _categories(work: ProjectWork) -> list[dict[str, Any]]:
    colours = davis_palette()
    is_thing = int(work.kind != "video_semantic")
    return [
        {**told, "isthing": is_thing, "color": colours[told["id"] % 256].tolist()}
        for told in coco.categories(work)
    ]
