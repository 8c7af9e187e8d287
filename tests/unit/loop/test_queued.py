"""A queued cycle: its turn, its marks, what an earlier job left unfinished, and the report at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backends.core.errors import LabelStudioDown, Unavailable
from backends.ledger import JobRow
from backends.loop.corrections import leave_marks, read_marks
from backends.loop.folder import Cycle
from backends.loop.policy import Policy
from backends.queues import ImproveRequest
from backends.settings import Settings
from pipelines.loop import queued
from pipelines.loop.cycle import Outcome, Wishes
from tests.unit.loop.loop_world import PROJECT, World


@dataclass
class House:
    """A world, and what stands for the cycle, the snapshot, the report and Label Studio's settings."""

    world: World
    settings: Settings
    unfinished: bool = False
    """Whether the next cycle goes on with a run of before, so that it takes no snapshot."""
    cycles: list[str] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    whys: list[str] = field(default_factory=list)

    def improve(
        self,
        project: int,
        settings: Settings,
        wishes: Wishes,
        *,
        report: Any,
        say: Any,
        take: Callable[..., Any],
    ) -> Outcome:
        self.whys.append(wishes.why)
        run = f"{len(self.cycles) + 1:04d}-aa"
        cycle = Cycle(
            self.world.folder.runs / run, project, "video_object", "d", outcome="promoted", candidate=run
        )
        if self.unfinished:
            self.unfinished = False
        else:
            digest = take(project, settings, progress=None, say=say)
            if digest in self.known:
                return Outcome(cycle, False)
            self.known.add(digest)
        self.cycles.append(run)
        return Outcome(cycle, True)

    def snapshot(self, project: int, settings: Settings, **unused: Any) -> str:
        return str(sorted(self.world.books.touched.items()))

    def row(self) -> JobRow:
        row = self.world.ledger.want_alone(ImproveRequest(PROJECT, "video_object", "pressed").wanted())
        started = self.world.ledger.start(row.id, row.generation, "w")
        assert started is not None
        return started

    def run(self) -> tuple[JobRow, str]:
        row = self.row()
        said = queued.run(row, self.settings, lambda done, total, stage: None)
        self.world.ledger.finish(row.id, row.generation, 0.0)
        return row, said


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    world = World(Policy(), tmp_path)
    made = House(world, Settings(data_dir=tmp_path))

    def refresh(project: int, settings: Settings) -> str:
        made.reports.append("report")
        return ""

    def open_with(settings: Settings, algorithm: str, project: int) -> list[str]:
        made.opened.append(algorithm)
        return ["the tasks' setting was left alone"]

    monkeypatch.setattr(queued, "improve", made.improve)
    monkeypatch.setattr(queued, "take_snapshot", made.snapshot)
    monkeypatch.setattr(queued, "refresh", refresh)
    monkeypatch.setattr(queued, "open_with_served", open_with)
    monkeypatch.setattr(queued, "LabelStudioClient", lambda url, token: world.books)
    yield made
    world.close()


def test_a_run_marks_what_it_knows_of_and_ends_with_a_report(house: House) -> None:
    house.world.books.submit(1, house.world.now)
    row, said = house.run()
    marks = read_marks(house.world.folder)
    assert (marks.job, marks.is_begun, set(marks.touched)) == (row.id, True, {1})
    assert said == "0001-aa is served to project 3 from the next request on"
    assert house.whys == ["pressed"] and house.reports == ["report"] and house.opened == ["video_object"]
    assert "The tasks' setting was left alone." in [n.text for n in house.world.notices.recent()]
    house.world.books.submit(2, house.world.now)
    assert house.world.pending() == {2}


def test_what_an_earlier_job_left_unfinished_is_ended_and_another_run_follows(house: House) -> None:
    house.world.books.submit(1, house.world.now)
    house.unfinished = True
    row, said = house.run()
    assert house.cycles == ["0001-aa", "0002-aa"] and said.startswith("0002-aa")
    assert read_marks(house.world.folder).job == row.id and not house.world.pending()
    assert house.opened == ["video_object"] * 2, "what was served for a moment opens as well"


def test_where_nothing_is_new_after_that_the_first_outcome_stands(house: House) -> None:
    house.world.books.submit(1, house.world.now)
    house.run()
    house.unfinished = True
    _, said = house.run()
    assert said.startswith("0002-aa") and house.cycles == ["0001-aa", "0002-aa"]


def test_a_run_that_goes_on_after_a_kill_keeps_its_marks_and_is_not_followed(house: House) -> None:
    house.world.books.submit(1, house.world.now)
    row = house.row()
    leave_marks(house.world.folder, house.world.books, row.id, is_begun=True)  # then it was killed
    house.world.books.submit(2, house.world.now)
    house.unfinished = True
    queued.run(row, house.settings, lambda done, total, stage: None)
    assert house.cycles == ["0001-aa"] and house.world.pending() == {2}


def test_another_process_of_the_project_is_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queued, "_LOOK_EVERY_S", 0.01)
    inside, leave, stages = threading.Event(), threading.Event(), []

    def by_hand() -> None:
        with house.world.folder.alone():
            inside.set()
            leave.wait(30)

    def report(done: int, total: int, stage: str) -> None:
        stages.append(stage)
        leave.set()

    other = threading.Thread(target=by_hand)
    other.start()
    assert inside.wait(30)
    queued.run(house.row(), house.settings, report)
    other.join()
    assert stages[0] == "waiting for another run of this project to end" and house.cycles == ["0001-aa"]


def test_but_not_for_ever(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queued, "TURN_S", 0.0)
    monkeypatch.setattr(queued, "_LOOK_EVERY_S", 0.01)
    with house.world.folder.alone(), pytest.raises(Unavailable, match="trained by another process"):
        queued.run(house.row(), house.settings, lambda done, total, stage: None)
    assert house.cycles == []


def test_label_studio_down_leaves_the_marks_of_before(house: House) -> None:
    house.world.books.submit(1, house.world.now)

    def down(project_id: int) -> Any:
        raise LabelStudioDown("Label Studio does not answer")

    house.world.books.tasks = down  # type: ignore[method-assign]
    with pytest.raises(LabelStudioDown):
        house.run()
    assert read_marks(house.world.folder).job == ""
