"""What the manifest of every snapshot says of the work in it: who labelled, when, and whose each mask is.

``clips`` (a photo is a clip of one frame), ``held_out`` and ``videos`` are the same for each kind of project.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pipelines.export.annotations import Opinion, SavedMask, TaskWork

Split = Literal["train", "held_out"]

WHOSE_MASKS = (
    "of several annotations the one starred as ground truth, else the one saved last; all of them are kept"
)


def about_clip(work: TaskWork, video: str, split: Split) -> dict[str, Any]:
    """One entry of ``clips``; what only one kind of project knows is added by its writer."""
    chosen = work.mask_opinion
    return {
        "video": video,
        "task": work.task_id,
        "split": split,
        "cancelled": work.cancelled,
        "annotations": [_opinion(opinion, opinion is chosen) for opinion in work.opinions],
    }


def about_split(clips: Mapping[str, Mapping[str, Any]], held_out: list[str]) -> dict[str, Any]:
    """``clips``, the names of those that are held out, and the split of each video."""
    videos = {str(told["video"]): told["split"] for told in clips.values()}
    return {"clips": clips, "held_out": held_out, "videos": videos}


def agreement(work: TaskWork, *, by_frame: bool) -> dict[str, Any]:
    """Label -> lowest IoU of two people's masks; for clips label -> frame -> IoU."""
    if not by_frame:
        return {label: round(value, 4) for label, value in work.agreement().items()}
    found: dict[str, dict[str, float]] = {}
    for (label, frame), value in work.agreement_by_frame().items():
        found.setdefault(label, {})[f"{frame:05d}"] = round(value, 4)
    return found


def _opinion(opinion: Opinion, masks_count: bool) -> dict[str, Any]:
    return {
        "annotation": opinion.annotation_id,
        "by": opinion.user,
        "saved_at": opinion.saved_at,
        "lead_time_s": opinion.lead_time_s,
        "tags": list(opinion.tags),
        "masks_count": masks_count,
        "masks": [_mask(mask) for mask in opinion.masks],
        "removed": [{"class": label, "frame": frame} for label, frame in opinion.removed],
        "refused": list(opinion.refused),
    }


def _mask(mask: SavedMask) -> dict[str, Any]:
    return {
        "region": mask.region_id,
        "class": mask.label,
        "frame": mask.frame_index,
        "origin": mask.origin,
        "proposed_by": mask.proposed_by,
        "proposed_iou": None if mask.proposed_iou is None else round(mask.proposed_iou, 4),
        "pixels": mask.digest,
    }
