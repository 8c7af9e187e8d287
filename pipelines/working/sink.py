"""Results to Label Studio: checked first, then exactly one prediction per task and model version.

Label Studio validates nothing and has no unique key, so an answer that was lost must never be answered with a
second create: what is there is read first, every time, and a lost answer is remembered until it is read back.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from backends.core.errors import BadInput, LabelStudioDown, MaskLoopError, Unavailable
from backends.core.masks import digest
from backends.core.types import FrameMasks
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.regions import check_result, region_id, to_results
from backends.labelstudio.tags import tags_result
from backends.ledger import Ledger

LATE_S = 120.0
"""A request whose answer was lost may still take effect for so long; usual proxies give up sooner."""

_CLAIM_S = 180.0


@dataclass(frozen=True)
class LabelStudioSink:
    """Sends the results of one project; ``owner`` is the worker's name, ``n_frames`` the clip's length."""

    client: LabelStudioClient
    ledger: Ledger
    project_id: int
    n_frames: int
    size_hw: tuple[int, int]
    owner: str
    max_regions: int = 150
    tags: Sequence[str] = ()
    """Classes that were ticked: the prediction opens with them ticked."""

    def put(self, task_id: int, frames: Sequence[FrameMasks], model_version: str) -> Sequence[str]:
        """Make the task's prediction of this version hold exactly these frames.

        Returns the regions that were left out, in words. Raises BadInput when nothing can be sent, and
        LabelStudioDown, TokenRefused or Unavailable when it has to be tried again.
        """
        config = LabelConfig.parse(self.client.project(self.project_id)["label_config"])
        results, refusals = self._results(frames, config)
        if refusals and not results:
            raise BadInput("; ".join(refusals))
        results = tags_result(self.tags, config, self.size_hw) + results
        self._claim(task_id, model_version, _digest(results))
        try:
            self._remember(task_id, frames)
            self._upsert(task_id, model_version, results, _score(frames))
        finally:
            with suppress(MaskLoopError):  # the claim ends by itself; the first error is the one to tell
                self.ledger.release_prediction(task_id, model_version, self.owner)
        return refusals

    def _results(
        self, frames: Sequence[FrameMasks], config: LabelConfig
    ) -> tuple[list[dict[str, Any]], list[str]]:
        unknown = sorted({name for f in frames for name in f.masks} - set(config.objects))
        known = ", ".join(map(repr, config.objects)) or "none"
        refusals = [f"object {n!r} is no label of this project any more (known: {known})" for n in unknown]
        results = [
            item
            for frame in sorted(frames, key=lambda f: f.frame_index)
            for item in to_results(frame, config, self.size_hw, skip=unknown)
        ]
        problems = check_result(results, config, self.n_frames, self.size_hw, max_regions=self.max_regions)
        if whole := [str(problem) for problem in problems if not problem.region_id]:
            return [], refusals + whole
        bad = {problem.region_id for problem in problems}
        return [r for r in results if r["id"] not in bad], refusals + [str(p) for p in problems]

    def _claim(self, task_id: int, model_version: str, mark: str) -> None:
        self._free_dead_owner(task_id, model_version)
        if self.ledger.plan_prediction(task_id, model_version, mark, self.owner, _CLAIM_S) is None:
            raise Unavailable(f"another worker is sending the prediction of task {task_id} right now")

    def _free_dead_owner(self, task_id: int, model_version: str) -> None:
        row = self.ledger.prediction(task_id, model_version)
        if row is None or row.owner in ("", self.owner):
            return
        if row.owner not in {worker.name for worker in self.ledger.workers() if worker.is_alive}:
            # It may have died between sending and hearing the answer.
            self.ledger.doubt_prediction(task_id, model_version)
            self.ledger.release_prediction(task_id, model_version, row.owner)

    def _remember(self, task_id: int, frames: Sequence[FrameMasks]) -> None:
        """Before anyone can see them: a mask that is shown but not remembered would pass for a person's."""
        self.ledger.remember_machine_masks(
            task_id,
            {
                region_id(name, frame.frame_index): digest(mask)
                for frame in frames
                for name, mask in frame.masks.items()
                if name not in frame.anchors and mask.any()
            },
        )

    def _upsert(
        self, task_id: int, model_version: str, results: list[dict[str, Any]], score: float | None
    ) -> None:
        there = self.client.predictions(task_id, model_version)
        if there:
            kept = there[0]
            if json.dumps(kept.get("result"), sort_keys=True) != json.dumps(results, sort_keys=True):
                self.client.update_prediction(int(kept["id"]), results, score)
            for extra in reversed(there[1:]):
                self.client.delete_prediction(int(extra["id"]))
            self.ledger.confirm_prediction(task_id, model_version, int(kept["id"]))
            return
        self._create(task_id, model_version, results, score)

    def _create(
        self, task_id: int, model_version: str, results: list[dict[str, Any]], score: float | None
    ) -> None:
        row = self.ledger.prediction(task_id, model_version)
        try:
            created = self.client.create_prediction(task_id, results, model_version, score)
        except LabelStudioDown:
            self.ledger.doubt_prediction(task_id, model_version)
            raise
        if row is not None and time.time() - row.doubted_at < LATE_S:
            raise Unavailable(
                f"prediction {created} of task {task_id} is stored; an earlier attempt lost its answer, "
                "so it is looked at once more for a twin"
            )
        self.ledger.confirm_prediction(task_id, model_version, created)


def _score(frames: Sequence[FrameMasks]) -> float | None:
    """The mean confidence of the machine's cells; None when a person made them all."""
    values = [c for f in frames for name, c in f.confidence.items() if name not in f.anchors]
    return round(sum(values) / len(values), 4) if values else None


def _digest(results: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(results, sort_keys=True, allow_nan=False).encode()).hexdigest()[:40]
