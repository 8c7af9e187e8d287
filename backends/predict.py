"""What /predict answers: reads the request, sends it the right way, and turns every trouble into words.

Label Studio shows annotators no error of a backend. So a request that is well formed always gets an answer
that changes nothing, and the reason goes to the console.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from backends.anchors import Anchors, NothingPainted, Work, delivered, finished_already
from backends.clip_labels import ClipLabels
from backends.core.errors import BadInput, MaskLoopError, NoWorker, RedisDown, SetupFault
from backends.core.masks import digest
from backends.core.types import FrameMasks
from backends.interactive import Gestures
from backends.labelstudio.context import Batch, Empty, Interactive, Task, parse_predict
from backends.labelstudio.drafts import latest_annotation
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.regions import region_id, to_results
from backends.ledger import JobRow, Ledger
from backends.notices import Notices
from backends.queues import PropagationRequest
from backends.tag_batches import TagBatches, in_words
from backends.tag_wishes import NothingTagged, TagWork

NOTHING: dict[str, Any] = {"result": []}
"""The answer to a gesture that changes nothing."""

NO_PREDICTION: list[Any] = []
"""The answer for a task in a batch that has no prediction yet.

Label Studio takes a list of predictions per task. An empty list stores none, whereas ``{"result": []}``
would be stored as an empty prediction: it would open as an empty annotation, and the task would count as
predicted and never be asked for again.
"""

_GENERAL = (NoWorker, RedisDown, SetupFault)  # the same for every other task of the batch


@dataclass(frozen=True)
class Answers:
    """The server's Predictor."""

    gestures: Gestures
    anchors: Anchors
    ledger: Ledger
    notices: Notices
    enqueue: Callable[[PropagationRequest], JobRow]
    tag_batches: TagBatches
    clip_labels: ClipLabels
    budget_s: float

    def answer(self, payload: dict[str, Any]) -> list[Any]:
        """One entry per task. Raises BadInput only for a body that is no predict request at all."""
        tasks = payload.get("tasks")
        if not isinstance(tasks, list):
            raise BadInput(f"a predict request wants a list of tasks, got {type(tasks).__name__}")
        try:
            ask = parse_predict(payload)
        except MaskLoopError as error:
            self._tell(error, _task_id(tasks))
            return [NO_PREDICTION for _ in tasks] if _is_batch(payload) else [NOTHING]
        if isinstance(ask, Empty):
            return [NOTHING]
        return self._batch(ask) if isinstance(ask, Batch) else [self._gesture(ask)]

    def _gesture(self, ask: Interactive) -> dict[str, Any]:
        try:
            return {"result": self.gestures.answer(ask)}
        except MaskLoopError as error:
            self._tell(error, ask.task.id)
            return NOTHING

    def _batch(self, ask: Batch) -> list[Any]:
        try:
            config = LabelConfig.parse(ask.label_config_xml)
        except MaskLoopError as error:
            self._tell(error, None)
            return [NO_PREDICTION for _ in ask.tasks]
        answers: list[Any] = []
        without = 0
        deadline = time.monotonic() + self.budget_s
        for task in ask.tasks:
            if time.monotonic() > deadline:
                rest = len(ask.tasks) - len(answers)
                self.notices.add("warning", f"{rest} of {len(ask.tasks)} tasks did not fit; select fewer.")
                break
            try:
                answers.append(self._task(ask.project_id, task, config))
            except (NothingPainted, NothingTagged):
                answers.append(NO_PREDICTION)
                without += 1
            except _GENERAL as error:
                self._tell(error, None)
                break
            except MaskLoopError as error:
                self._tell(error, task.id)
                answers.append(NO_PREDICTION)
        if without and len(ask.tasks) > 1:  # a single task may just have been opened: nothing to remark
            what = "tag to make a mask of" if config.makes_masks else "painted mask that could be propagated"
            self.notices.add("info", f"{without} of {len(ask.tasks)} tasks have no {what}.")
        return answers + [NO_PREDICTION for _ in ask.tasks[len(answers) :]]

    def _task(self, project_id: int, task: Task, config: LabelConfig) -> Any:
        """Queue one task; a result that is there already is the answer."""
        result = latest_annotation(list(task.annotations))
        if config.labels_clips:
            self.clip_labels.want(project_id, task.id, task.data, config)
            return NO_PREDICTION
        if config.makes_masks:
            self.tag_batches.want(TagWork(project_id, task.id, task.data, config, result))
            return NO_PREDICTION  # the worker hands it over, so that a task never gets it twice
        request, _ = self.anchors.request(Work(project_id, task.id, task.data, config, result))
        job = finished_already(self.ledger, request)
        if job is not None and job.delivery != "pending":
            return self._finished(job, config)
        self.enqueue(delivered(request))
        return NO_PREDICTION

    def _finished(self, job: JobRow, config: LabelConfig) -> dict[str, Any]:
        frames = sorted(self.ledger.frames(job.id), key=lambda frame: frame.frame_index)
        scores = [score for frame in frames for score in frame.confidence.values()]
        self.ledger.remember_machine_masks(job.task_id, machine_digests(frames))
        return {
            "result": [result for frame in frames for result in to_results(frame, config, job.size_hw)],
            "score": sum(scores) / len(scores) if scores else 0.0,
            "model_version": job.model_version,
        }

    def _tell(self, error: MaskLoopError, task_id: int | None) -> None:
        self.notices.add("error", in_words(error), task_id)


def machine_digests(frames: Sequence[FrameMasks]) -> dict[str, str]:
    """Region id -> digest of every mask that a machine made; a person's own masks stay theirs."""
    return {
        region_id(name, frame.frame_index): digest(mask)
        for frame in frames
        for name, mask in frame.masks.items()
        if name not in frame.anchors
    }


def _is_batch(payload: dict[str, Any]) -> bool:
    params = payload.get("params")
    return not isinstance(params, dict) or params.get("context") is None


def _task_id(tasks: Sequence[Any]) -> int | None:
    """The task's id when there is just one that has one."""
    found = tasks[0].get("id") if len(tasks) == 1 and isinstance(tasks[0], dict) else None
    return found if isinstance(found, int) and abs(found) < 2**63 else None
