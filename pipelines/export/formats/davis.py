"""DAVIS: ``JPEGImages/480p/CLIP``, ``Annotations/480p/CLIP`` with index PNGs, ``ImageSets/2017``.

The folder is called 480p whatever the frames' size, because that is where programs look. ``objects.json``
says which number is which object.
"""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.export.formats.losses import Losses
from pipelines.export.formats.pictures import put_frame, put_index_map, tell_not_jpeg
from pipelines.export.formats.view import (
    check_labels,
    clips_with_masks,
    count_frames,
    frames_of,
    tell_flat,
)
from pipelines.export.project import LabelledClip, ProjectWork
from pipelines.progress import Track, quiet

CANNOT_HOLD = "davis holds one object per pixel: no overlaps, no tags, no scores, no class beside the object"

_EMPTY = "written as background, for they have no mask: {count} frames ({first} first)"
_LATE = (
    "not followed by DAVIS' programs, for they are not on the first frame: {count} objects ({first} first)"
)


def write(work: ProjectWork, out: Path, *, progress: Track = quiet) -> tuple[str, ...]:
    """Write the project; returns what could not be held. Raises BadInput for too many labels."""
    check_labels(work, "davis")
    losses = Losses()
    clips = clips_with_masks(work, losses)
    for clip in clips:
        for label in _late(clip):
            losses.add(_LATE, f"{label!r} in {clip.name}")
    frames = (frame for clip in clips for frame in frames_of(clip, work, losses))
    for frame in progress(frames, total=count_frames(work), label="davis"):
        picture = put_frame(frame, out / "JPEGImages" / "480p" / frame.clip.name, frame.name, losses)
        tell_not_jpeg(picture, frame, losses)
        flat = frame.labels_map()
        tell_flat(flat, frame, losses)
        if not frame.saved:
            losses.add(_EMPTY, frame)
        put_index_map(flat.ids, out / "Annotations" / "480p" / frame.clip.name / f"{frame.name}.png")
    listed = out / "ImageSets" / "2017" / "train.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("".join(f"{clip.name}\n" for clip in clips), encoding="utf-8")
    numbers = {str(number): label for number, label in enumerate(work.labels, 1)}
    (out / "objects.json").write_text(json.dumps(numbers, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return (CANNOT_HOLD, *losses.sentences())


def _late(clip: LabelledClip) -> list[str]:
    """The labels that have a mask, but none on the first frame."""
    masks = clip.work.mask_opinion.masks if clip.work.mask_opinion else ()
    first = {saved.label for saved in masks if saved.frame_index == 0}
    return [label for label in dict.fromkeys(saved.label for saved in masks) if label not in first]
