"""COCO instances: ``images/train/CLIP/`` and ``annotations/instances_train.json`` with RLE masks.

The format that keeps most: overlaps, holes, several labels on one region. What COCO has no field for stands
in extra ones: ``video_id``, ``frame_index`` and ``source_frame`` of images, ``track_id``, ``regions``,
``origin``, ``proposed_by`` and ``proposed_iou`` of annotations. Ids are made of the task's number, so they
stay when other tasks come.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backends.core.types import Mask
from pipelines.export.formats.losses import Losses
from pipelines.export.formats.pictures import put_frame
from pipelines.export.formats.view import FrameWork, Thing, count_frames, stills
from pipelines.export.project import LabelledClip, ProjectWork
from pipelines.progress import Track, quiet

CANNOT_HOLD = (
    "coco holds no opinion of a second annotator; tags, tracks and who proposed a mask stand in extra fields "
    "that other programs pass over"
)
SUBSET = "train"

_FRAMES = 100_000  # image id = task * _FRAMES + frame: no task has so many
_MASKS = 1_000  # annotation id = image id * _MASKS + its place


def write(work: ProjectWork, out: Path, *, progress: Track = quiet) -> tuple[str, ...]:
    """Write the project; returns what could not be held."""
    losses = Losses()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    videos: dict[int, dict[str, Any]] = {}
    for frame in progress(stills(work, losses), total=count_frames(work), label="coco"):
        image = put_image(frame, out, losses)
        images.append(image)
        videos.setdefault(image["video_id"], _video(frame.clip))
        things = frame.regions if work.kind == "weak_shot" else frame.objects
        annotations += _annotations(things, image["id"], is_track=work.kind == "video_object")
    about = {"description": work.title, "project": work.project_id, "kind": work.kind}
    told = {
        "info": about,
        "licenses": [],
        "videos": list(videos.values()),
        "images": images,
        "categories": categories(work),
        "annotations": annotations,
    }
    put_json(told, out / "annotations" / f"instances_{SUBSET}.json")
    return (CANNOT_HOLD, *losses.sentences())


def put_image(frame: FrameWork, out: Path, losses: Losses) -> dict[str, Any]:
    """Copy the frame; its entry among the images."""
    home = out / "images" / SUBSET
    picture = put_frame(frame, home / frame.clip.name, frame.name, losses)
    height, width = frame.clip.size_hw
    start = frame.clip.data.get("start")  # the clip's first frame in the video it was cut from
    tags = [label for label in frame.labels if label in frame.clip.work.tags]
    return {
        "id": frame.clip.work.task_id * _FRAMES + frame.index,
        "file_name": picture.relative_to(home).as_posix(),
        "width": width,
        "height": height,
        "video_id": frame.clip.work.task_id,
        "frame_index": frame.index,
        **({"source_frame": start + frame.index} if isinstance(start, int) else {}),
        **({"tags": tags} if tags and len(frame.clip.frames) == 1 else {}),
    }


def categories(work: ProjectWork) -> list[dict[str, Any]]:
    """One per label, numbered as everywhere."""
    kind = "object" if work.kind == "video_object" else "class"
    return [
        {"id": number, "name": label, "supercategory": kind} for number, label in enumerate(work.labels, 1)
    ]


def encode(mask: Mask) -> dict[str, Any]:
    """(H, W) bool -> COCO's compressed RLE, its counts as text."""
    from pycocotools import mask as coco

    packed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in packed["size"]], "counts": packed["counts"].decode("ascii")}


def put_json(told: object, path: Path) -> None:
    """One line: such files reach hundreds of megabytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        json.dump(told, stream, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        stream.write("\n")


def _video(clip: LabelledClip) -> dict[str, Any]:
    height, width = clip.size_hw
    length = len(clip.frames)
    return {"id": clip.work.task_id, "name": clip.name, "width": width, "height": height, "length": length}


def _annotations(things: Sequence[Thing], image_id: int, *, is_track: bool) -> list[dict[str, Any]]:
    return [
        {
            "id": image_id * _MASKS + place,
            "image_id": image_id,
            "category_id": thing.number,
            "segmentation": encode(thing.mask),
            "area": thing.area,
            "bbox": list(thing.box),
            "iscrowd": 0,
            **({"track_id": thing.number} if is_track else {}),
            "regions": [one.region_id for one in thing.regions],
            **_origin(thing),
        }
        for place, thing in enumerate(things)
    ]


def _origin(thing: Thing) -> dict[str, Any]:
    """Whose mask it is; of several regions the one that a person did most on."""
    ranked = sorted(thing.regions, key=lambda one: ("painted", "corrected", "accepted").index(one.origin))
    told: dict[str, Any] = {"origin": ranked[0].origin}
    if version := next((one.proposed_by for one in ranked if one.proposed_by), ""):
        told["proposed_by"] = version
    if len(ranked) == 1 and ranked[0].proposed_iou is not None:
        told["proposed_iou"] = round(ranked[0].proposed_iou, 4)
    return told
