"""YouTube-VOS: ``JPEGImages/CLIP``, ``Annotations/CLIP`` and ``meta.json``, which names each object's frames.

An object's category is its label, or what the task's data say under ``categories`` (as imported ones do).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines.export.formats.losses import Losses
from pipelines.export.formats.pictures import put_frame, put_index_map, tell_not_jpeg
from pipelines.export.formats.view import (
    FrameWork,
    check_labels,
    clips_with_masks,
    count_frames,
    frames_of,
    tell_flat,
)
from pipelines.export.project import ProjectWork
from pipelines.progress import Track, quiet

CANNOT_HOLD = (
    "youtube-vos holds one object per pixel and one category per object: no overlaps, tags or scores"
)

_UNLABELLED = "without a PNG, which means not labelled, for they have no mask: {count} frames ({first} first)"


def write(work: ProjectWork, out: Path, *, progress: Track = quiet) -> tuple[str, ...]:
    """Write the project; returns what could not be held. Raises BadInput for too many labels."""
    check_labels(work, "youtube-vos")
    losses = Losses()
    clips = clips_with_masks(work, losses)
    videos: dict[str, Any] = {clip.name: {"objects": {}} for clip in clips}
    frames = (frame for clip in clips for frame in frames_of(clip, work, losses))
    for frame in progress(frames, total=count_frames(work), label="youtube-vos"):
        picture = put_frame(frame, out / "JPEGImages" / frame.clip.name, frame.name, losses)
        tell_not_jpeg(picture, frame, losses)
        if not frame.saved and work.kind != "video_object":
            losses.add(_UNLABELLED, frame)
            continue
        flat = frame.labels_map()
        tell_flat(flat, frame, losses)
        put_index_map(flat.ids, out / "Annotations" / frame.clip.name / f"{frame.name}.png")
        _note_objects(frame, set(flat.hidden), videos[frame.clip.name]["objects"])
    for video in videos.values():
        video["objects"] = dict(sorted(video["objects"].items(), key=lambda item: int(item[0])))
    text = json.dumps({"videos": videos}, ensure_ascii=False, indent=1)
    (out / "meta.json").write_text(text + "\n", encoding="utf-8")
    return (CANNOT_HOLD, *losses.sentences())


def _note_objects(frame: FrameWork, hidden: set[str], objects: dict[str, Any]) -> None:
    """Put the frame's name to every object that can be seen on it."""
    told = frame.clip.data.get("categories")
    categories = told if isinstance(told, dict) else {}
    for thing in frame.objects:
        if thing.label not in hidden:
            category = str(categories.get(str(thing.number)) or thing.label)
            entry = objects.setdefault(str(thing.number), {"category": category, "frames": []})
            entry["frames"].append(frame.name)
