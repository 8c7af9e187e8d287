"""The job behind Refresh: progress and end in the ledger, cancelled, stopped, failed in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from backends.core.errors import LabelStudioDown
from backends.ledger import JobRow, Ledger
from backends.queues import REPORT, ReportRequest
from backends.queues.tickets import MAINTENANCE, queue_of, run_ticket
from pipelines.jobs import functions
from pipelines.loop.report import build_report
from pipelines.loop.report_job import make
from pipelines.progress import Track
from pipelines.working.collaborators import Collaborators
from tests.saved_clips import V1, clip, project, proposals

WORK = project([clip(proposals(V1, 3, [0.5]), number=n) for n in range(1, 4)])
Reporter = Callable[[int, Track], Mapping[str, Any]]


def reading(project_id: int, progress: Track) -> Mapping[str, Any]:
    for _ in progress(range(3), total=3, label="reading the project"):
        pass
    return build_report(WORK, [], now=1.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "ledger.sqlite3")
    yield opened
    opened.close()


def collaborators(ledger: Ledger, report: Reporter = reading) -> Collaborators:
    def nothing(*_: object) -> Any:
        raise AssertionError("a report needs neither model nor frames")

    return Collaborators(
        ledger, "w", segmenter=nothing, clip=nothing, sink=nothing, warm=nothing, report=report
    )


def wanted(ledger: Ledger) -> JobRow:
    return ledger.want_alone(ReportRequest(3).wanted())


def test_it_is_maintenance_and_a_worker_may_run_it(ledger: Ledger) -> None:
    ticket = run_ticket(wanted(ledger))
    assert (ticket.queue, queue_of(REPORT)) == (MAINTENANCE, MAINTENANCE)
    assert ticket.function in functions(collaborators(ledger))


def test_its_end_says_what_is_in_the_report(ledger: Ledger) -> None:
    row = wanted(ledger)
    make(collaborators(ledger), row.id, row.generation)
    row = ledger.job(row.id)
    assert (row.state, row.done, row.total) == ("done", 3, 3)
    assert row.stage == "3 clips, 30 frames, 15 masks: 9 left as proposed, 3 changed, 3 by hand"


def test_progress_is_counted_in_tasks(ledger: Ledger) -> None:
    seen: list[tuple[int, int, str]] = []

    def looked_at(project_id: int, progress: Track) -> Mapping[str, Any]:
        for _ in progress(range(7), total=7, label="reading the project"):
            now = ledger.job(row.id)
            seen.append((now.done, now.total, now.stage))
        return reading(project_id, progress)

    row = wanted(ledger)
    make(collaborators(ledger, looked_at), row.id, row.generation)
    assert seen[0] == (0, 7, "reading the project")
    assert [total for _, total, _ in seen] == [7] * 7


def test_while_one_is_wanted_another_wish_is_the_same(ledger: Ledger) -> None:
    row = wanted(ledger)
    assert wanted(ledger).id == row.id
    make(collaborators(ledger), row.id, row.generation)
    assert wanted(ledger).id != row.id, "and after it a new one"


def test_a_stale_ticket_does_nothing(ledger: Ledger) -> None:
    row = wanted(ledger)
    make(collaborators(ledger), row.id, row.generation + 1)
    assert ledger.job(row.id).state == "queued"


def test_cancel_ends_it(ledger: Ledger) -> None:
    def cancelled(project_id: int, progress: Track) -> Mapping[str, Any]:
        ledger.request_cancel(row.id)
        return reading(project_id, progress)

    row = wanted(ledger)
    make(collaborators(ledger, cancelled), row.id, row.generation)
    assert ledger.job(row.id).state == "cancelled"


def test_a_stopping_worker_gives_it_back(ledger: Ledger) -> None:
    row = wanted(ledger)
    work = collaborators(ledger)
    work.stopping = lambda: True
    make(work, row.id, row.generation)
    assert (ledger.job(row.id).state, ledger.job(row.id).strikes) == ("queued", 0)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (LabelStudioDown("Label Studio at http://127.0.0.1:1 does not answer"), "does not answer"),
        (ZeroDivisionError("by zero"), "unexpected ZeroDivisionError"),
    ],
)
def test_what_goes_wrong_is_told(ledger: Ledger, error: Exception, words: str) -> None:
    def broken(project_id: int, progress: Track) -> Mapping[str, Any]:
        raise error

    row = wanted(ledger)
    make(collaborators(ledger, broken), row.id, row.generation)
    row = ledger.job(row.id)
    assert row.state == "failed" and words in row.error


def test_a_job_that_went_elsewhere_is_left_alone(ledger: Ledger) -> None:
    def taken(project_id: int, progress: Track) -> Mapping[str, Any]:
        ledger.rescue(row.id, row.generation)
        return reading(project_id, progress)

    row = wanted(ledger)
    make(collaborators(ledger, taken), row.id, row.generation)
    assert ledger.job(row.id).state == "queued"
