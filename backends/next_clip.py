"""A long video is several clips that overlap by one frame: a clip's last page starts the next clip.

After an annotation is saved, the masks of its last page are carried over the following clip and delivered
there as a prediction. A clip that somebody has begun is never touched. Label Studio allows a webhook one
second, so the work is done behind it, one clip at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from backends.anchors import FrameFiles
from backends.core.errors import MaskLoopError
from backends.core.images import image_size
from backends.core.types import MaskPrompt
from backends.labelstudio.label_config import LabelConfig, refuse_unusable
from backends.labelstudio.regions import read_masks, unite
from backends.ledger import JobRow
from backends.notices import Notices
from backends.queues import PropagationRequest

SAVED = frozenset({"ANNOTATION_CREATED", "ANNOTATION_UPDATED"})
_NUMBERED = re.compile(r"(.+)-(\d{3,6})")


class Tasks(Protocol):
    """What is asked of Label Studio."""

    def project(self, project_id: int) -> dict[str, Any]: ...

    def tasks(self, project_id: int) -> Iterable[dict[str, Any]]: ...

    def tasks_with_drafts(self, project_id: int) -> set[int]: ...


@dataclass(frozen=True)
class NextClip:
    """Starts the clip after the one that was saved."""

    label_studio: Tasks
    files: FrameFiles
    notices: Notices
    served: Callable[[int], str]
    """The version that is served to a project; raises SetupFault when there is none."""
    enqueue: Callable[[PropagationRequest], JobRow]
    max_pixels: int
    behind: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="next-clip")
    )

    def saved(self, payload: Mapping[str, Any]) -> Future[JobRow | None] | None:
        """Take in a webhook delivery; returns at once. None when nothing follows from it."""
        if payload.get("action") not in SAVED:
            return None
        return self.behind.submit(self._told, payload)

    def _told(self, payload: Mapping[str, Any]) -> JobRow | None:
        try:
            return self.start(payload)
        except MaskLoopError as error:
            self.notices.add("warning", f"The next clip could not be started: {error}.", _id(payload, "task"))
        except Exception as error:  # a webhook has nobody to answer to; the console tells
            what = f"{type(error).__name__}: {error}"
            self.notices.add("error", f"The next clip could not be started ({what}).", _id(payload, "task"))
        return None

    def start(self, payload: Mapping[str, Any]) -> JobRow | None:
        """Carry the last page's masks over the next clip; None when there is none to start."""
        following = following_clip(_data(payload).get("clip"))
        project_id = _id(payload, "project")
        annotation = payload.get("annotation")
        if following is None or project_id is None or not isinstance(annotation, Mapping):
            return None
        if annotation.get("was_cancelled"):
            return None
        task = self._untouched(project_id, following)
        if task is None:
            return None
        request = self._request(project_id, task, _data(payload), annotation)
        if request is None:
            return None
        row = self.enqueue(request)
        self.notices.add("info", f"Clip {following} starts with the masks of the clip before it.", task["id"])
        return row

    def _untouched(self, project_id: int, clip: str) -> dict[str, Any] | None:
        """The task of that clip, if nobody has saved anything in it."""
        found = [t for t in self.label_studio.tasks(project_id) if _data({"task": t}).get("clip") == clip]
        if not found or found[0].get("is_labeled") or found[0].get("total_annotations"):
            return None
        begun = self.label_studio.tasks_with_drafts(project_id)
        return None if found[0]["id"] in begun else found[0]

    def _request(
        self,
        project_id: int,
        task: Mapping[str, Any],
        data: Mapping[str, Any],
        annotation: Mapping[str, Any],
    ) -> PropagationRequest | None:
        config = LabelConfig.parse(str(self.label_studio.project(project_id).get("label_config") or ""))
        if config.labels_clips:
            return None  # whole scenes are predicted, not carried on
        refuse_unusable(config)
        n_frames = len(config.frame_refs(data))
        references = config.frame_refs(_data({"task": task}))
        size_hw = image_size(self.files.path(references[0]), max_pixels=self.max_pixels)
        result = annotation.get("result")
        regions, _ = read_masks(result if isinstance(result, list) else [], config, n_frames, size_hw)
        masks = unite(regions)
        last = {name: m for (name, index), m in masks.items() if index == n_frames - 1 and m.any()}
        if not last:
            return None
        return PropagationRequest(
            project_id=project_id,
            task_id=int(task["id"]),
            frame_refs=references,
            size_hw=size_hw,
            anchors=tuple(MaskPrompt(name, 0, mask) for name, mask in sorted(last.items())),
            model_version=self.served(project_id),
            deliver_prediction=True,
        )


def video_of(clip: str) -> str:
    """What a clip is a piece of: ``bus-36d8450bbb`` for ``bus-36d8450bbb-000``, itself without a number."""
    found = _NUMBERED.fullmatch(clip)
    return found[1] if found else clip


def following_clip(clip: object) -> str | None:
    """``bus-36d8450bbb-001`` for ``bus-36d8450bbb-000``; None for what is not one of a numbered series."""
    found = _NUMBERED.fullmatch(clip) if isinstance(clip, str) else None
    return f"{found[1]}-{int(found[2]) + 1:0{len(found[2])}d}" if found else None


def _data(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    task = payload.get("task")
    data = task.get("data") if isinstance(task, Mapping) else None
    return data if isinstance(data, Mapping) else {}


def _id(payload: Mapping[str, Any], key: str) -> int | None:
    item = payload.get(key)
    number = item.get("id") if isinstance(item, Mapping) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None
