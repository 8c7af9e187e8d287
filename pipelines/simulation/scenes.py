"""Whole scenes: the clip is labelled by a job, and single frames of it are corrected.

A correction changes no other frame, so one job per version is enough whoever chooses the frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends.core.types import FrameMasks
from backends.labelstudio.regions import to_results
from backends.queues.requests import ClipRequest
from backends.steadiness import by_frame, need_eyes
from pipelines.simulation.choosing import Choose, Corrected
from pipelines.simulation.counting import Count, Goal, Look, SceneScorer, count
from pipelines.simulation.desk import Desk, on_frame
from pipelines.simulation.videos import TrueClip

_METRIC = "miou"


class Labelled:
    """One clip as a task of a project, labelled by one version."""

    def __init__(self, desk: Desk, clip: TrueClip, version: str, project_id: int) -> None:
        self._desk, self._clip, self._version = desk, clip, version
        self._config = desk.config(project_id)
        self._task = desk.task(project_id, clip)
        names, size_hw = self._config.class_names, clip.clip.size_hw
        references = self._config.frame_refs(desk.studio.task(self._task)["data"])
        request = ClipRequest(project_id, self._task, references, size_hw, names, version)
        frames = {frame.frame_index: frame for frame in desk.carry_out(request)}
        self._scorer = SceneScorer(clip, frames, self._sure(request.job_id()))
        self._corrected: Corrected = ()

    def count(self, choose: Choose, goal: Goal) -> Count:
        """Frames corrected until the goal."""
        found = count(self._look, choose, goal, _METRIC)
        self._corrected = found.corrected
        return found

    def correct_all(self) -> None:
        """Every frame as it truly is."""
        self._corrected = tuple(range(len(self._clip.paths)))

    def submit(self) -> None:
        """Open the prediction, correct the frames that were counted last, or all, and press Submit."""
        [prediction] = self._desk.studio.predictions(self._task, self._version)
        result: list[dict[str, Any]] = [
            {**item, "origin": "prediction"}
            for item in prediction["result"]
            if on_frame(item) not in self._corrected
        ]
        for frame in self._corrected:
            truth = FrameMasks(frame, self._clip.masks(frame), {})
            made = to_results(truth, self._config, self._clip.clip.size_hw)
            result += [{**item, "origin": "manual"} for item in made]
        self._desk.studio.submit(self._task, sorted(result, key=on_frame), prediction["id"])

    def _look(self, corrected: Corrected) -> Look:
        return self._scorer.look(corrected)

    def _sure(self, job_id: str) -> Mapping[int, float]:
        """The order in which the console shows frames that need eyes, then the others by their steadiness."""
        figures, n_frames = self._desk.ledger.clip_figures(job_id), len(self._clip.paths)
        if figures is None or not figures.pairs:
            return dict.fromkeys(range(n_frames), 0.0)
        eyes = [frame.index for frame in need_eyes(figures, n_frames, n_frames)]
        shares = {f.index: 1.0 if f.share is None else f.share for f in by_frame(figures, n_frames)}
        rest = sorted(set(range(n_frames)) - set(eyes), key=lambda index: (shares[index], index))
        return {frame: float(place) for place, frame in enumerate([*eyes, *rest])}
