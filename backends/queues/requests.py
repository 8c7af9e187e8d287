"""Requests: what someone wants done, checked before anything is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from backends.core.errors import BadInput, BadMask, BadMedia
from backends.core.masks import digest
from backends.core.types import BoxPrompt, MaskPrompt
from backends.ledger import JobRow, WantedJob

PSEUDO_LABEL, PSEUDO_LABEL_NOW = "pseudo_label", "pseudo_label_now"
"""Kinds of the same work: one of many images, and the one that somebody waits for in the editor."""


LABEL_CLIP = "label_clip"
"""Kind of the work that labels whole scenes: one clip."""


class Request(Protocol):
    """A wish that can be put on record."""

    def wanted(self) -> WantedJob: ...


@dataclass(frozen=True)
class PropagationRequest:
    """Carry the anchors of one task over all its frames.

    ``frame_refs``: Label Studio's own references, in frame order; the worker resolves them. Raises BadMedia,
    BadMask or BadInput for what can never work.
    """

    project_id: int
    task_id: int
    frame_refs: tuple[str, ...]
    size_hw: tuple[int, int]
    anchors: tuple[MaskPrompt, ...]
    model_version: str
    deliver_prediction: bool = False

    def __post_init__(self) -> None:
        if not self.frame_refs:
            raise BadMedia(f"task {self.task_id} has no frames; its data needs a list of image references")
        if not self.anchors or not any(anchor.mask.any() for anchor in self.anchors):
            raise BadMask(f"task {self.task_id} has no painted mask; paint an object on one frame first")
        if any(not anchor.is_anchor for anchor in self.anchors):
            raise BadInput(f"task {self.task_id}: only masks a person made can be anchors")
        for anchor in self.anchors:
            self._check(anchor)
        cells = [(anchor.object_id, anchor.frame_index) for anchor in self.anchors]
        if doubled := {cell for cell in cells if cells.count(cell) > 1}:
            object_id, frame = min(doubled)
            raise BadInput(f"object {object_id!r} has more than one mask on frame {frame}; unite them first")

    def _check(self, anchor: MaskPrompt) -> None:
        what = f"mask of {anchor.object_id!r} on frame {anchor.frame_index}"
        if anchor.mask.shape != self.size_hw:
            (height, width), (wants_h, wants_w) = anchor.mask.shape, self.size_hw
            raise BadMask(f"{what} is {width}x{height}; the frames of this task are {wants_w}x{wants_h}")
        if anchor.frame_index >= len(self.frame_refs):
            raise BadMask(f"{what}: this task has only frames 0 to {len(self.frame_refs) - 1}")

    def job_id(self) -> str:
        """40 hex characters that name exactly this wish; delivery is not part of it."""
        masks = sorted((a.frame_index, a.object_id, digest(a.mask)) for a in self.anchors)
        content = [
            *("propagate", self.project_id, self.task_id, self.model_version),
            *(self.size_hw, self.frame_refs, masks),
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:40]

    def wanted(self) -> WantedJob:
        """The ledger row to ask for."""
        return WantedJob(
            job_id=self.job_id(),
            kind="propagate",
            project_id=self.project_id,
            task_id=self.task_id,
            model_version=self.model_version,
            total=len(self.frame_refs),
            size_hw=self.size_hw,
            payload={"frame_refs": list(self.frame_refs)},
            anchors=self.anchors,
            deliver=self.deliver_prediction,
        )


@dataclass(frozen=True)
class PseudoLabelRequest:
    """Turn the tags of one image into masks.

    ``image_ref``: Label Studio's own reference; ``boxes`` say where the object of a class is; ``drawn`` are
    masks of a person, kept as they are. ``is_awaited``: somebody waits in the editor, so it goes before all
    batches. Raises BadInput or BadMask for what can never work.
    """

    project_id: int
    task_id: int
    image_ref: str
    size_hw: tuple[int, int]
    tags: tuple[str, ...]
    model_version: str
    boxes: tuple[BoxPrompt, ...] = ()
    drawn: tuple[MaskPrompt, ...] = ()
    is_awaited: bool = False
    deliver_prediction: bool = False

    def __post_init__(self) -> None:
        drawn = {mask.object_id for mask in self.drawn}
        if not self.tags:
            raise BadInput(f"task {self.task_id} has no tags; tick what is in the picture first")
        if set(self.tags) <= drawn:
            raise BadInput(f"task {self.task_id}: every tagged class has a mask of yours already")
        if stray := {box.object_id for box in self.boxes} - set(self.tags):
            raise BadInput(f"task {self.task_id}: a box for {min(stray)!r}, which is not among the tags")
        for mask in self.drawn:
            if mask.mask.shape != self.size_hw or mask.frame_index != 0:
                raise BadMask(f"task {self.task_id}: the mask of {mask.object_id!r} is not of this image")

    @property
    def kind(self) -> str:
        """The ledger's word for it, which also chooses the queue."""
        return PSEUDO_LABEL_NOW if self.is_awaited else PSEUDO_LABEL

    def job_id(self) -> str:
        """40 hex characters that name exactly this wish; delivery is not part of it."""
        content = [
            *(self.kind, self.project_id, self.task_id, self.model_version, self.size_hw, self.image_ref),
            *(sorted(self.tags), self._corners()),
            sorted((mask.object_id, digest(mask.mask)) for mask in self.drawn),
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:40]

    def wanted(self) -> WantedJob:
        """The ledger row to ask for."""
        return WantedJob(
            job_id=self.job_id(),
            kind=self.kind,
            project_id=self.project_id,
            task_id=self.task_id,
            model_version=self.model_version,
            total=1,
            size_hw=self.size_hw,
            payload={"frame_refs": [self.image_ref], "tags": list(self.tags), "boxes": self._corners()},
            anchors=self.drawn,
            deliver=self.deliver_prediction,
        )

    def _corners(self) -> list[list[str | float]]:
        """[class, x0, y0, x1, y1] in pixels, one per box."""
        return [[b.object_id, b.x0_px, b.y0_px, b.x1_px, b.y1_px] for b in self.boxes]


@dataclass(frozen=True)
class ClipRequest:
    """Label every pixel of every frame of one task; the result is delivered as a prediction.

    ``labels``: the project's labels, each with the model's classes that it stands for (none: its own name).
    Raises BadMedia or BadInput for what can never work.
    """

    project_id: int
    task_id: int
    frame_refs: tuple[str, ...]
    size_hw: tuple[int, int]
    labels: Mapping[str, tuple[str, ...]]
    model_version: str
    colours: Mapping[str, str] = field(default_factory=dict)
    """Label -> its CSS colour in the editor; no part of the wish, for the console to show the same."""

    def __post_init__(self) -> None:
        if not self.frame_refs:
            raise BadMedia(f"task {self.task_id} has no frames; its data needs a list of image references")
        if not self.labels:
            raise BadInput(f"task {self.task_id}: the project has no labels to give")

    def job_id(self) -> str:
        """40 hex characters that name exactly this wish."""
        content = [
            *(LABEL_CLIP, self.project_id, self.task_id, self.model_version),
            *(self.size_hw, self.frame_refs, sorted(self.labels.items())),
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:40]

    def wanted(self) -> WantedJob:
        """The ledger row to ask for."""
        labels = {name: list(predicted) for name, predicted in self.labels.items()}
        return WantedJob(
            job_id=self.job_id(),
            kind=LABEL_CLIP,
            project_id=self.project_id,
            task_id=self.task_id,
            model_version=self.model_version,
            total=len(self.frame_refs),
            size_hw=self.size_hw,
            payload={
                "frame_refs": list(self.frame_refs),
                "labels": labels,
                "colours": dict(self.colours),
            },
            deliver=True,
        )


def anew(row: JobRow, anchors: Sequence[MaskPrompt], version: str) -> Request:
    """The wish of a job once more, with another model version; ``anchors`` are the ledger's of that job.

    Raises BadInput for a kind of job that no version answers.
    """
    told, deliver = row.payload, bool(row.delivery)
    refs = tuple(map(str, told.get("frame_refs", ())))
    where = (row.project_id, row.task_id)
    if row.kind == "propagate":
        return PropagationRequest(*where, refs, row.size_hw, tuple(anchors), version, deliver)
    if row.kind in (PSEUDO_LABEL, PSEUDO_LABEL_NOW):
        boxes = tuple(BoxPrompt(name, 0, *corners) for name, *corners in told["boxes"])
        tags, is_awaited = tuple(told["tags"]), row.kind == PSEUDO_LABEL_NOW
        return PseudoLabelRequest(
            *where, refs[0], row.size_hw, tags, version, boxes, tuple(anchors), is_awaited, deliver
        )
    if row.kind == LABEL_CLIP:
        labels = {name: tuple(predicted) for name, predicted in told["labels"].items()}
        return ClipRequest(*where, refs, row.size_hw, labels, version, told.get("colours", {}))
    raise BadInput(f"job {row.id} is of kind {row.kind!r}, which no model version answers")
