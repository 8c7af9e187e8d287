"""A project's photos as a snapshot that weak-shot training reads.

``images/``, ``masks/`` (index PNGs; of photos that train base classes, 0 and 255 only), ``annotations/`` (all
that anyone saved, as Label Studio gave it), ``tags.json``, ``classes.json`` and the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.export.manifest import WHOSE_MASKS, about_clip, about_split, agreement
from pipelines.export.snapshot import Snapshot, SnapshotWriter
from pipelines.media.palette import index_png
from pipelines.progress import Track, quiet
from pipelines.weak_shot_project.classes import Decision, ProjectPhoto, is_base, label_map
from pipelines.weak_shot_project.reading import HELD_OUT_OF, ProjectReading

_POLICY = {
    "masks": WHOSE_MASKS,
    "tags": "what any annotation names, ticked or painted",
    "background": "0 where everything tagged is painted and no novel class is tagged, else 255",
    "held_out": f"painted photos whose SHA-256 is divisible by {HELD_OUT_OF}; with novel classes, to score",
}


def write_snapshot(
    reading: ProjectReading, decision: Decision, home: Path, *, progress: Track = quiet
) -> Snapshot:
    """The photos of ``reading`` below ``home``, in a folder named by their content.

    Photos of left out classes only are left out as well. Raises BadInput when a snapshot of the same content
    is there and was edited, OSError when the disk is full.
    """
    tags: dict[str, list[str]] = {}
    told: dict[str, dict[str, Any]] = {}
    with SnapshotWriter(home) as writer:
        photos = reading.photos
        for photo in progress(photos, total=len(photos), label="writing the snapshot"):
            kept = [tag for tag in photo.tags if tag in decision.classes.names]
            if not kept:
                continue
            writer.copy(f"images/{photo.name}{photo.image.suffix.lower()}", photo.image)
            labels = label_map(photo, decision.classes)
            if labels is not None:
                writer.put(f"masks/{photo.name}.png", index_png(labels))
            writer.put_json(f"annotations/{photo.name}.json", list(photo.work.raw))
            tags[photo.name] = kept
            told[photo.name] = _told(photo, labels is not None, decision)
        writer.put_json("tags.json", tags)
        held_out = sorted(name for name in told if told[name]["split"] == "held_out")
        writer.put_json("classes.json", {**decision.classes.to_json(), "held_out": held_out})
        return writer.finish(_about(reading, decision, about_split(told, held_out)))


def _about(reading: ProjectReading, decision: Decision, photos: Mapping[str, Any]) -> dict[str, Any]:
    classes = {
        name: {
            "role": decision.roles[name],
            "painted": count.painted,
            "accepted": count.accepted,
            "tagged": count.tagged,
        }
        for name, count in decision.counts.items()
    }
    return {
        "kind": "weak_shot",
        "project": reading.project_id,
        "base_photos": decision.base_photos,
        "classes": classes,
        **photos,
        "policy": _POLICY,
        "notes": [*reading.notes, *decision.notes],
    }


def _told(photo: ProjectPhoto, has_mask: bool, decision: Decision) -> dict[str, Any]:
    """What the manifest says of one photo: who labelled it, what counts, what a model proposed."""
    whole = "whole" if is_base(photo, decision.classes) else "part"
    held_out = photo.is_held_out and has_mask  # without a mask there is nothing to score
    return {
        **about_clip(photo.work, photo.name, "held_out" if held_out else "train"),
        "mask": whole if has_mask else "none",
        "agreement": agreement(photo.work, by_frame=False),
    }
