"""From a task's saved work to the wish "carry these masks over the clip".

Here the two sources of masks (draft, annotation) meet the ledger's memory of what a machine drew. What comes
out are anchors: masks a person drew or changed. Refused regions are told, the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from backends.core.errors import BadInput, BadMedia
from backends.core.images import image_size
from backends.core.types import MaskPrompt
from backends.labelstudio.drafts import Draft
from backends.labelstudio.label_config import LabelConfig, refuse_unusable
from backends.labelstudio.regions import Region, anchors, read_masks
from backends.ledger import JobRow, Ledger
from backends.notices import Notices
from backends.queues import PropagationRequest

MAX_TOLD = 5  # refused regions named one by one in a notice


class NothingPainted(BadInput):
    """Nobody painted or changed a mask in this task yet."""


class FrameFiles(Protocol):
    """Where a frame's file is; raises BadMedia, LabelStudioDown or TokenRefused."""

    def path(self, reference: str) -> Path: ...


@dataclass(frozen=True)
class Work:
    """One task with the saved result to read masks from."""

    project_id: int
    task_id: int
    data: Mapping[str, Any]
    config: LabelConfig
    result: Sequence[Mapping[str, Any]]


class Anchors:
    """Reads a task's work into a PropagationRequest."""

    def __init__(
        self,
        ledger: Ledger,
        notices: Notices,
        files: FrameFiles,
        served: Callable[[int], str],
        max_pixels: int,
    ) -> None:
        self._ledger = ledger
        self._notices = notices
        self._files = files
        self._served = served
        self._max_pixels = max_pixels

    def request(self, work: Work) -> tuple[PropagationRequest, list[Region]]:
        """The propagation that this work asks for, and every region that was read.

        Raises NothingPainted when no person painted or changed anything, BadMedia when the first frame
        cannot be read, BadLabelConfig for a configuration that cannot work, SetupFault without a model.
        """
        refuse_unusable(work.config)
        references = work.config.frame_refs(work.data)
        size_hw = self.size_hw(references)
        regions, refusals = read_masks(work.result, work.config, len(references), size_hw)
        self._tell(work.task_id, [str(refusal) for refusal in refusals])
        found = anchors(regions, self._ledger.machine_digests(work.task_id))
        if not found:
            raise NothingPainted(_nothing_painted(regions))
        return self._request(work, references, size_hw, found), regions

    def size_hw(self, references: Sequence[str]) -> tuple[int, int]:
        """The clip's (height, width) by its first frame's header."""
        path = self._files.path(references[0])
        try:
            return image_size(path, max_pixels=self._max_pixels)
        except BadMedia as error:
            raise BadMedia(f"{error}; the clip's first frame must be readable") from error

    def _request(
        self,
        work: Work,
        references: tuple[str, ...],
        size_hw: tuple[int, int],
        found: Sequence[MaskPrompt],
    ) -> PropagationRequest:
        return PropagationRequest(
            project_id=work.project_id,
            task_id=work.task_id,
            frame_refs=references,
            size_hw=size_hw,
            anchors=tuple(found),
            model_version=self._served(work.project_id),
        )

    def _tell(self, task_id: int, refusals: Sequence[str]) -> None:
        for refusal in refusals[:MAX_TOLD]:
            self._notices.add("warning", f"Left out: {refusal}.", task_id)
        if len(refusals) > MAX_TOLD:
            self._notices.add("warning", f"Left out: {len(refusals) - MAX_TOLD} more regions.", task_id)


def delivered(request: PropagationRequest) -> PropagationRequest:
    """The same propagation, its result wanted as a prediction too."""
    return replace(request, deliver_prediction=True)


def finished_already(ledger: Ledger, request: PropagationRequest) -> JobRow | None:
    """The done job of exactly this request, if there is one; needs neither Redis nor a worker."""
    found = ledger.jobs(states=["done"], task_id=request.task_id)
    return next((job for job in found if job.id == request.job_id()), None)


def latest_work(annotations: Sequence[Mapping[str, Any]], drafts: Sequence[Draft]) -> tuple[Any, ...]:
    """The result saved last among a task's annotations and drafts; empty when there is neither."""
    saved: list[tuple[str, tuple[Any, ...]]] = [(draft.updated_at, draft.result) for draft in drafts]
    for annotation in annotations:
        if isinstance(annotation.get("result"), list) and not annotation.get("was_cancelled"):
            when = annotation.get("updated_at") or annotation.get("created_at") or ""
            saved.append((str(when), tuple(annotation["result"])))
    return max(saved, key=lambda item: item[0])[1] if saved else ()


def _nothing_painted(regions: Sequence[Region]) -> str:
    if regions:
        return (
            f"all {len(regions)} masks are still as MaskLoop made them, so nothing new can be propagated; "
            "correct one, then press Propagate"
        )
    return "no painted mask was found; paint an object on any frame with the brush, then press Propagate"
