"""One loop from its first version to its last: count, label, submit, learn, judge, serve, and again.

Every count, every submitted clip and every decision is on disk before the next begins; the same call goes on
where a killed one was, to the same report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from backends.labelstudio.client import LabelStudioClient
from backends.loop.files import read_json, write_json
from backends.loop.folder import ProjectFolder
from backends.settings import Settings
from pipelines.export.project import read_project_work
from pipelines.export.snapshot import Snapshot
from pipelines.export.split import freeze
from pipelines.export.take import write_snapshot
from pipelines.export.tasks import Say, TooLittle, tell_notes
from pipelines.loop.cycle import Outcome, Wishes, improve
from pipelines.loop.record import SCORES, scores_of
from pipelines.loop.work import Report, in_child, silent
from pipelines.progress import Track as Progress
from pipelines.progress import quiet
from pipelines.simulation.choosing import Choose, chooser
from pipelines.simulation.counting import Count, Goal
from pipelines.simulation.desk import ASIDE, PROJECT, Desk, Models
from pipelines.simulation.plan import Simulation
from pipelines.simulation.videos import TrueClip

T = TypeVar("T")
Counts = dict[str, dict[str, list[Count]]]
"""Clip -> strategy -> a count for each of its orders."""


class Sitting(Protocol):
    """An annotator before one clip under one version."""

    def count(self, choose: Choose, goal: Goal) -> Count: ...


class Submitting(Sitting, Protocol):
    """One that can hand the clip in as it was counted last, or as it truly is."""

    def correct_all(self) -> None: ...

    def submit(self) -> None: ...


@dataclass(frozen=True)
class Clips:
    """``by_round``: what is labelled in each round; ``test``: what is only counted, in all of them."""

    by_round: Sequence[Sequence[TrueClip]]
    test: Sequence[TrueClip]


@dataclass(frozen=True)
class Around:
    """What a loop has around it: how it is watched, and what a test puts in place of the real parts."""

    progress: Progress = quiet
    report: Report = silent
    say: Say = print
    work: Callable[..., None] = in_child


@dataclass
class Track:
    """The loop in which ``labels`` chooses the frames to correct; ``counted`` are the strategies to count."""

    simulation: Simulation
    clips: Clips
    labels: str
    counted: Sequence[str]
    settings: Settings
    """Data folder, models and media of this loop alone."""
    models: Models
    desk: Desk
    around: Around

    def run(self) -> list[dict[str, Any]]:
        """What happened in each round, the last one without a decision: its version is only counted."""
        told: list[dict[str, Any]] = []
        first = served = self.models.served()
        if known := read_json(self._round(0)):
            first = served = str(known["served"])
        for number in range(self.simulation.rounds + 1):
            write_json(self._round(number), {**read_json(self._round(number)), "served": served})
            told.append(self._about(number, first, served))
            if told[-1]["decision"]:
                served = told[-1]["decision"]["serves"]
        return told

    def _about(self, number: int, first: str, served: str) -> dict[str, Any]:
        told: dict[str, Any] = {"round": number, "served": served, "loop": {}, "without_loop": {}}
        told["test"] = self._counts(f"round {number}, test", self.clips.test, served, self.counted)
        told["decision"] = None
        if number == self.simulation.rounds:
            return told
        clips = self.clips.by_round[number]
        if served != first:  # what these clips would have taken without any learning
            told["without_loop"] = self._counts("without the loop", clips, first, (self.labels,))
        self._label(f"round {number}, labelling", clips, served)
        told["loop"] = self._counts(f"round {number}, loop", clips, served, self.counted)
        told["decision"] = self._decision(number)
        return told

    def _counts(
        self, label: str, clips: Sequence[TrueClip], version: str, strategies: Sequence[str]
    ) -> Counts:
        """Those that are on disk, and the others."""
        wanted = [(s, order) for s in strategies for order in self.simulation.orders(s)]
        missing = [
            (clip, *one) for clip in clips for one in wanted if not self._file(clip, version, *one).is_file()
        ]
        sitting: tuple[str, Sitting] | None = None
        for clip, strategy, order in self._watched(missing, label):
            if sitting is None or sitting[0] != clip.name:
                sitting = clip.name, self._aside(clip, version)
            found = sitting[1].count(chooser(strategy, clip, order), self.simulation.goal)
            write_json(self._file(clip, version, strategy, order), found.to_json())
        return {clip.name: {s: self._known(clip, version, s) for s in strategies} for clip in clips}

    def _known(self, clip: TrueClip, version: str, strategy: str) -> list[Count]:
        paths = [self._file(clip, version, strategy, order) for order in self.simulation.orders(strategy)]
        return [Count.from_json(read_json(path)) for path in paths]

    def _watched(self, items: Sequence[T], label: str) -> Iterable[T]:
        return self.around.progress(items, total=len(items), label=label) if items else ()

    def _label(self, label: str, clips: Sequence[TrueClip], version: str) -> None:
        """Every clip of the round that is not submitted yet; counted on the way."""
        studio, exact = self.desk.studio, self._exact()
        waiting = [c for c in clips if not studio.is_submitted(self.desk.task(PROJECT, c))]
        for clip in self._watched(waiting, label):
            sitting = self._in_project(clip, version)
            order = self.simulation.seed
            found = sitting.count(chooser(self.labels, clip, order), self.simulation.goal)
            write_json(self._file(clip, version, self.labels, order), found.to_json())
            if clip.video in exact:
                sitting.correct_all()
            sitting.submit()

    def _exact(self) -> frozenset[str]:
        """The videos that judge, where those are to be handed in as they truly are."""
        if self.simulation.held_out != "exact":
            return frozenset()
        path = ProjectFolder(self.settings.data_dir, PROJECT).held_out_path
        return freeze(path, {clip.video for clip in self.clips.by_round[0]}).held_out

    def _decision(self, number: int) -> dict[str, Any]:
        """What came of learning from all that was submitted so far."""
        path = self._round(number)
        if not (known := read_json(path)).get("decision"):
            known = {**known, "decision": self._learn(number)}
            write_json(path, known)
        decision: dict[str, Any] = known["decision"]
        return decision

    def _learn(self, number: int) -> dict[str, Any]:
        wishes = Wishes(why=f"round {number}", policy=self.simulation.policy)
        say, report = self.around.say, self.around.report
        try:
            outcome = improve(
                PROJECT,
                self.settings,
                wishes,
                report=report,
                say=say,
                take=self._take,
                work=self.around.work,
            )
        except TooLittle as error:
            told = {"outcome": "nothing to learn from", "candidate": "", "reasons": [str(error)]}
            return {**told, "against": [str(error)], "gate": None, "serves": self.models.served()}
        return {**_decided(outcome), "serves": self.models.served()}

    def _take(
        self, project_id: int, settings: Settings, *, progress: Progress = quiet, say: Say = print
    ) -> Snapshot:
        """The project as the loop reads every project, out of this simulation's own."""
        work = read_project_work(
            cast(LabelStudioClient, self.desk.studio),
            project_id,
            self.desk.locator,
            machine=self.desk.ledger.machine_digests,
            proposals=self.desk.ledger.task_cells,
            max_pixels=settings.max_image_pixels,
            progress=progress,
        )
        tell_notes(work.notes, say)
        held_out = ProjectFolder(settings.data_dir, project_id).held_out_path
        return write_snapshot(work, settings.data_dir / "snapshots", held_out, progress=progress)

    def _aside(self, clip: TrueClip, version: str) -> Sitting:
        from pipelines.simulation.objects import InMemory
        from pipelines.simulation.scenes import Labelled

        if clip.is_followed:
            return InMemory(self.models(version), clip)
        return Labelled(self.desk, clip, version, ASIDE)

    def _in_project(self, clip: TrueClip, version: str) -> Submitting:
        from pipelines.simulation.objects import InEditor
        from pipelines.simulation.scenes import Labelled

        if clip.is_followed:
            return InEditor(self.desk, clip, version)
        return Labelled(self.desk, clip, version, PROJECT)

    def _round(self, number: int) -> Path:
        return self.settings.data_dir / "rounds" / f"{number}.json"

    def _file(self, clip: TrueClip, version: str, strategy: str, order: int) -> Path:
        return self.settings.data_dir / "counts" / version / clip.name / f"{strategy}-{order}.json"


def _decided(outcome: Outcome) -> dict[str, Any]:
    cycle = outcome.cycle
    gate: Mapping[str, Any] | None = None
    if (cycle.run / SCORES).is_file():
        candidate, served = scores_of(cycle.run)
        told = {"metric": candidate.metric, "candidate": candidate.overall, "served": served.overall}
        gate = {name: None if value != value else value for name, value in told.items()}
    return {
        "outcome": cycle.outcome,
        "candidate": cycle.candidate,
        "reasons": list(cycle.reasons),
        "against": list(cycle.against),
        "gate": gate,
    }
