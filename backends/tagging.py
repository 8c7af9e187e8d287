"""Make masks: the tags of the open picture become masks in the open editor; a box says where a class is.

The worker computes, this waits for it within ``predict_budget_s``. Classes that a person drew or changed are
never sent back. A box replaces the machine's untouched mask of its class; anything else of that class stays,
and the new mask stands beside it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from backends.core.errors import Unavailable
from backends.core.masks import digest
from backends.core.types import FrameMasks
from backends.labelstudio.context import Interactive, MakeMasks
from backends.labelstudio.label_config import MAKE_MASKS
from backends.labelstudio.regions import Region, region_id, to_results
from backends.ledger import JobRow, Ledger
from backends.notices import Notices
from backends.queues import PseudoLabelRequest
from backends.review import doubtful
from backends.saved_work import SavedWork
from backends.settings import Settings
from backends.tag_wishes import TagWishes, TagWork

_POLL_S = 0.05

Result = list[dict[str, Any]]


@dataclass(frozen=True)
class Tagging:
    """Answers the command and the box of a project whose tags become masks."""

    settings: Settings
    ledger: Ledger
    notices: Notices
    wishes: TagWishes
    saved: SavedWork
    enqueue: Callable[[PseudoLabelRequest], JobRow]
    """Wants masks; raises NoWorker or RedisDown."""

    def answer(self, ask: Interactive, command: MakeMasks) -> Result:
        """The regions to show. Raises MaskLoopError with words for the person."""
        deadline = time.monotonic() + self.settings.predict_budget_s
        saved = self.saved.now(ask, MAKE_MASKS)
        work = TagWork(
            ask.project_id, ask.task.id, ask.task.data, ask.label_config, saved.result, command.boxes, True
        )
        request, regions = self.wishes.request(work)
        job = self._wait(self.enqueue(request), deadline)
        if job.state != "done":
            self._tell_unfinished(job, request)
            return []
        [frame] = self.ledger.frames(job.id)
        if command.boxes:
            region = regions if saved.is_fresh else None
            return self._boxed(ask, command.boxes[0].object_id, frame, region)
        return self._tagged(ask, frame)

    def _wait(self, job: JobRow, deadline: float) -> JobRow:
        while not job.is_over and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            job = self.ledger.job(job.id)
        return job

    def _tagged(self, ask: Interactive, frame: FrameMasks) -> Result:
        made = {name: mask for name, mask in frame.masks.items() if name not in frame.anchors}
        digests = {region_id(name, 0): digest(mask) for name, mask in made.items()}
        self.ledger.remember_machine_masks(ask.task.id, digests)
        self._tell_doubts(ask.task.id, frame)
        return to_results(frame, ask.label_config, ask.size_hw, skip=frame.anchors)

    def _boxed(
        self, ask: Interactive, name: str, frame: FrameMasks, regions: Sequence[Region] | None
    ) -> Result:
        """The box's mask. It is not remembered as a machine's: a person said where, so it stays."""
        only = FrameMasks(0, {name: frame.masks[name]}, {name: frame.confidence.get(name, 0.0)})
        self._tell_doubts(ask.task.id, only)
        answer = to_results(only, ask.label_config, ask.size_hw)
        machine = self.ledger.machine_digests(ask.task.id)
        own = region_id(name, 0)
        is_free = regions is not None and all(
            region.digest in machine.get(own, ()) for region in regions if region.id == own
        )
        if is_free:
            return answer
        mark = hashlib.sha256(ask.trigger_id.encode()).hexdigest()[:6]
        return [{**item, "id": f"{own}_{mark}"} for item in answer]

    def _tell_doubts(self, task_id: int, frame: FrameMasks) -> None:
        shown = {name: value for name, value in frame.confidence.items() if frame.masks[name].any()}
        if told := doubtful({name: value for name, value in shown.items() if name not in frame.anchors}):
            self.notices.add("info", f"Low trust: {told}. Look at these masks first.", task_id)

    def _tell_unfinished(self, job: JobRow, request: PseudoLabelRequest) -> None:
        if job.state == "failed":
            self.notices.add("error", f"Make masks stopped: {job.error}", job.task_id)
        elif job.state == "cancelled":
            self.notices.add("info", "Make masks was cancelled.", job.task_id)
        elif request.boxes:
            self.notices.add("info", "The box's mask was not ready in time; drag the box again.", job.task_id)
        else:
            self.notices.add(
                "info", f"The masks were not ready in time. {self._send_on(request)}", job.task_id
            )

    def _send_on(self, request: PseudoLabelRequest) -> str:
        try:
            self.enqueue(replace(request, deliver_prediction=True))
        except Unavailable as error:
            return f"Press Make masks again to get them ({error})."
        return "They follow as a prediction; pressing Make masks again also picks them up."
