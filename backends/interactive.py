"""One gesture of an annotator: a click or box becomes a mask on this frame, Propagate masks on every frame.
Make masks, and a box where tags become masks, go to ``tagging``.

An interactive answer may take up to 100 s of Label Studio's patience; this module waits for the worker within
``predict_budget_s`` and hands back what is finished. What does not fit reaches the task as a prediction.
Regions that a person drew or changed are never sent back, so nothing of theirs can be painted over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from backends.anchors import Anchors, FrameFiles, Work, delivered, finished_already
from backends.click_memory import ClickMemory, Spot
from backends.clip_labels import ClipLabels
from backends.core.errors import BadMedia, Unavailable
from backends.core.images import open_image
from backends.core.masks import digest
from backends.core.types import BoxPrompt, FrameMasks, Image, Mask, PointPrompt
from backends.labelstudio.context import Clicks, Interactive, LabelClip, MakeMasks, Propagate
from backends.labelstudio.label_config import PROPAGATE, LabelConfig
from backends.labelstudio.regions import Region, read_masks, region_id, to_results, unite
from backends.ledger import JobRow, Ledger
from backends.notices import Notices
from backends.queues import PropagationRequest
from backends.saved_work import SavedWork, at_hand
from backends.settings import Settings
from backends.tagging import Tagging

POLL_S = 0.05  # how often the ledger is asked for new frames: a read of about 0.2 ms

Result = list[dict[str, Any]]


@dataclass(frozen=True)
class Gestures:
    """Answers interactive requests."""

    settings: Settings
    ledger: Ledger
    notices: Notices
    anchors: Anchors
    files: FrameFiles
    memory: ClickMemory
    enqueue: Callable[[PropagationRequest], JobRow]
    """Wants a propagation; raises NoWorker or RedisDown."""
    saved: SavedWork
    tagging: Tagging
    clip_labels: ClipLabels
    clicked: Callable[[Image, Sequence[PointPrompt], Sequence[BoxPrompt], Mask | None], Mask]
    """Frame, points, boxes and the mask so far -> the object's mask."""

    def answer(self, ask: Interactive) -> Result:
        """The regions to show. Raises MaskLoopError with words for the person."""
        if isinstance(ask.clicks, Clicks):
            return self._click(ask, ask.clicks)
        if isinstance(ask.clicks, MakeMasks):
            return self.tagging.answer(ask, ask.clicks)
        if isinstance(ask.clicks, LabelClip):
            return self.clip_labels.answer(ask)
        return self._propagate(ask, ask.clicks)

    def _click(self, ask: Interactive, clicks: Clicks) -> Result:
        image = self._frame(ask, clicks.frame_index)
        spot = Spot(ask.task.id, clicks.object_id, clicks.frame_index)
        result = at_hand(ask)
        on_frame = [item for item in result if item.get("item_index", 0) == clicks.frame_index]
        regions, _ = read_masks(on_frame, ask.label_config, clicks.frame_index + 1, ask.size_hw)
        saved = unite(regions).get((clicks.object_id, clicks.frame_index))
        before, points = self.memory.recall(spot, saved, clicks.points)
        mask = self.clicked(image, points, clicks.boxes, before)
        self.memory.remember(spot, mask, points, saved)
        answer = to_results(
            FrameMasks(clicks.frame_index, {clicks.object_id: mask}, {}), ask.label_config, ask.size_hw
        )
        return _in_place(answer, [region.id for region in regions if region.object_id == clicks.object_id])

    def _frame(self, ask: Interactive, frame_index: int) -> Image:
        reference = ask.label_config.frame_refs(ask.task.data)[frame_index]
        path = self.files.path(reference)
        image = open_image(path, max_pixels=self.settings.max_image_pixels)
        if image.shape[:2] != ask.size_hw:
            (height, width), (wants_h, wants_w) = image.shape[:2], ask.size_hw
            raise BadMedia(
                f"frame {frame_index} ({reference}) is {width}x{height} on disk, but the editor shows "
                f"{wants_w}x{wants_h}; reload the task"
            )
        return image

    def _propagate(self, ask: Interactive, command: Propagate) -> Result:
        deadline = time.monotonic() + self.settings.predict_budget_s
        saved = self.saved.now(ask, PROPAGATE)
        work = Work(ask.project_id, ask.task.id, ask.task.data, ask.label_config, saved.result)
        request, regions = self.anchors.request(work)
        answer = _Answer(request, ask.label_config, command.frame_index, regions)
        job = finished_already(self.ledger, request) or self.enqueue(request)
        job = self._collect(job, answer, deadline)
        chosen = answer.nearest(self.settings.max_regions)
        self.ledger.remember_machine_masks(ask.task.id, answer.digests(chosen))
        self._tell(ask.task.id, job, answer, chosen, request)
        return chosen

    def _collect(self, job: JobRow, answer: _Answer, deadline: float) -> JobRow:
        """Take in frames as they are finished, until the job is over or the budget is spent."""
        taken = 0
        while True:
            job = self.ledger.job(job.id)  # before the frames: what is over has written its last frame
            for frame in self.ledger.frames(job.id, since=taken):
                answer.add(frame)
                taken += 1
            if job.is_over or time.monotonic() >= deadline:
                return job
            time.sleep(POLL_S)

    def _tell(
        self, task_id: int, job: JobRow, answer: _Answer, chosen: Result, request: PropagationRequest
    ) -> None:
        """Say on the console whatever the editor will not show, and send on what did not fit."""
        if job.state == "failed":
            self.notices.add("error", f"Propagate stopped: {job.error}", task_id)
        elif job.state == "cancelled":
            self.notices.add("info", f"Propagate was cancelled after {job.done} frames.", task_id)
        elif not job.is_over or len(chosen) < len(answer.results):
            self.notices.add("info", f"{_partial(job, answer, chosen)} {self._send_on(request)}", task_id)
        if gone := answer.gone():
            self.notices.add(
                "info",
                f"No longer visible, so no mask was sent: {gone}. Earlier masks there stay until deleted.",
                task_id,
            )

    def _send_on(self, request: PropagationRequest) -> str:
        """Have the whole result delivered as a prediction; what is finished must not be lost over it."""
        try:
            self.enqueue(delivered(request))
        except Unavailable as error:
            return f"Press Propagate again to get the rest ({error})."
        return "The full result follows as a prediction; pressing Propagate again also picks it up."


class _Answer:
    """The regions of one propagation as they come in, without those a person's mask fixes."""

    def __init__(
        self, request: PropagationRequest, config: LabelConfig, at: int, regions: Sequence[Region]
    ) -> None:
        self._config = config
        self._size_hw = request.size_hw
        self._at = at
        self._fixed = {(anchor.object_id, anchor.frame_index) for anchor in request.anchors}
        self._shown = {region.id for region in regions}
        self._gone: list[tuple[int, str]] = []
        self._digests: dict[str, str] = {}
        self.results: Result = []

    def add(self, frame: FrameMasks) -> None:
        """Turn one frame into regions."""
        index = frame.frame_index
        skip = {name for name in frame.masks if (name, index) in self._fixed} | frame.anchors
        self.results += to_results(frame, self._config, self._size_hw, skip=skip)
        for name, mask in frame.masks.items():
            region = region_id(name, index)
            self._digests[region] = digest(mask)
            if name not in skip and not mask.any() and region in self._shown:
                self._gone.append((index, name))

    def nearest(self, limit: int) -> Result:
        """At most ``limit`` regions, those on frames nearest to the command first, back in frame order."""
        ranked = sorted(self.results, key=lambda result: abs(_frame_of(result) - self._at))
        return sorted(ranked[:limit], key=lambda result: (_frame_of(result), result["id"]))

    def digests(self, results: Result) -> dict[str, str]:
        """Region id -> digest of its mask, for exactly these results."""
        return {result["id"]: self._digests[result["id"]] for result in results}

    def gone(self) -> str:
        """Objects that were shown on a frame where the new run sees nothing of them, in words."""
        frames: dict[str, list[int]] = {}
        for index, name in sorted(self._gone):
            frames.setdefault(name, []).append(index + 1)
        return "; ".join(f"{name} on page {', '.join(map(str, pages))}" for name, pages in frames.items())


def _in_place(answer: Result, ids: Sequence[str]) -> Result:
    """Give the answer the id of the one region it grew out of: the editor then replaces that region.

    Among several painted regions no choice would be right; the answer stands beside them under its own id.
    """
    return [{**item, "id": ids[0]} for item in answer] if len(ids) == 1 else answer


def _frame_of(result: dict[str, Any]) -> int:
    return int(result.get("item_index", 0))


def _partial(job: JobRow, answer: _Answer, chosen: Result) -> str:
    if job.is_over:
        what = f"{len(chosen)} of {len(answer.results)} masks were sent to the editor, as many as it handles"
    else:
        what = f"{job.done} of {job.total} frames were ready in time"
    return f"{what}."
