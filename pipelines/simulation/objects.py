"""Objects that are followed: the clip in memory, for counting, and the clip in an editor, to be submitted.

Both run the worker's own propagation, which goes again only over what lies between changed anchors. In the
editor everything passes through what Label Studio holds: regions in, anchors read from them, a job, regions
out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from backends.anchors import Anchors, Work, finished_already
from backends.core.masks import digest
from backends.core.types import FrameMasks, MaskPrompt, Segmenter
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.regions import region_id, to_results
from backends.notices import Notices
from pipelines.propagate import Earlier, anchor_digests, propagate
from pipelines.simulation.choosing import Choose, Corrected
from pipelines.simulation.counting import Count, Frames, Goal, Look, ObjectScorer, count
from pipelines.simulation.desk import PROJECT, Desk, on_frame
from pipelines.simulation.videos import TrueClip

_METRIC = "j"


class InMemory:
    """One clip under one version. The pass without corrections is made once, whatever is counted after."""

    def __init__(self, segmenter: Segmenter, clip: TrueClip) -> None:
        self._segmenter, self._clip, self._scorer = segmenter, clip, ObjectScorer(clip)
        self._start = Earlier()

    def count(self, choose: Choose, goal: Goal) -> Count:
        """Frames corrected until the goal."""
        carried = _Carried(self._segmenter, self._clip, self._scorer, self._start)
        found = count(carried.look, choose, goal, _METRIC)
        self._start = carried.start
        return found


@dataclass
class _Carried:
    segmenter: Segmenter
    clip: TrueClip
    scorer: ObjectScorer
    start: Earlier
    """The pass without corrections."""
    before: Earlier | None = None

    def look(self, corrected: Corrected) -> Look:
        anchors = [
            MaskPrompt(label, frame, mask)
            for frame in (0, *corrected)
            for label, mask in self.clip.masks(frame).items()
            if mask.any()
        ]
        stream = propagate(self.segmenter, self.clip.clip, anchors, earlier=self.before or self.start)
        frames = {frame.frame_index: replace(frame, soft={}) for frame in stream}
        self.before = Earlier(anchor_digests(anchors), frames)
        if not corrected:
            self.start = self.before
        return self.scorer.look(frames, corrected)


class InEditor:
    """One clip as a task of the project: painted, propagated, corrected, propagated again, submitted."""

    def __init__(self, desk: Desk, clip: TrueClip, version: str) -> None:
        self._desk, self._clip = desk, clip
        self._task = desk.task(PROJECT, clip)
        self._config = desk.config(PROJECT)
        self._anchors = Anchors(
            desk.ledger, Notices(desk.ledger.path), desk.locator, lambda project: version, 50_000_000
        )
        self._scorer = ObjectScorer(clip)
        self._page = _Page(self._config, clip)

    def count(self, choose: Choose, goal: Goal) -> Count:
        """Frames corrected until the goal; the editor is left as it was then."""
        return count(self._look, choose, goal, _METRIC)

    def correct_all(self) -> None:
        """Every frame as it truly is."""
        self._page.paint(tuple(range(len(self._clip.paths))))

    def submit(self) -> None:
        """Press Submit."""
        self._desk.studio.submit(self._task, self._page.result)

    def _look(self, corrected: Corrected) -> Look:
        self._page.paint((0, *corrected))
        return self._scorer.look(self._propagated(), corrected)

    def _propagated(self) -> Frames:
        """Press Propagate."""
        desk = self._desk
        data = desk.studio.task(self._task)["data"]
        work = Work(PROJECT, self._task, data, self._config, self._page.result)
        request, _ = self._anchors.request(work)
        done = finished_already(desk.ledger, request)
        frames = desk.carry_out(request) if done is None else desk.ledger.frames(done.id)
        desk.ledger.remember_machine_masks(self._task, _digests(frames))  # before anyone can see them
        self._page.show(frames)
        return {frame.frame_index: frame for frame in frames}


@dataclass
class _Page:
    """The regions in the open editor."""

    config: LabelConfig
    clip: TrueClip
    result: list[dict[str, Any]] = field(default_factory=list)
    painted: tuple[int, ...] = ()

    def paint(self, frames: tuple[int, ...]) -> None:
        """These frames are as they truly are; others that were painted before are empty again."""
        kept = [item for item in self.result if on_frame(item) not in {*frames, *self.painted}]
        self.painted = frames
        self.result = [*kept, *(item for frame in frames for item in self._true(frame))]

    def show(self, frames: Iterable[FrameMasks]) -> None:
        """The answer's regions on frames that nobody painted. What is gone there is deleted by hand."""
        hand = [item for item in self.result if on_frame(item) in self.painted]
        made = [
            item
            for frame in frames
            if frame.frame_index not in self.painted
            for item in to_results(frame, self.config, self.clip.clip.size_hw)
        ]
        self.result = sorted([*hand, *made], key=on_frame)

    def _true(self, frame: int) -> list[dict[str, Any]]:
        truth = FrameMasks(frame, self.clip.masks(frame), {})
        return [
            {**item, "origin": "manual"} for item in to_results(truth, self.config, self.clip.clip.size_hw)
        ]


def _digests(frames: Iterable[FrameMasks]) -> dict[str, str]:
    return {
        region_id(name, frame.frame_index): digest(mask)
        for frame in frames
        for name, mask in frame.masks.items()
        if name not in frame.anchors and mask.any()
    }
