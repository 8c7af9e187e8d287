"""Jobs about a whole project in the ledger: one at a time, steps and stages, strikes, retry."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.core.errors import BadInput, Superseded
from backends.ledger import Ledger, WantedJob

KIND = "improve"


def wish(name: str, project: int = 3) -> WantedJob:
    return WantedJob(name.ljust(40, "0"), KIND, project, 0, "", total=5, size_hw=(0, 0))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "ledger.sqlite3")
    yield opened
    opened.close()


def test_one_at_a_time_per_project(ledger: Ledger) -> None:
    first = ledger.want_alone(wish("a"))
    assert ledger.want_alone(wish("b")) == first
    assert ledger.want_alone(wish("c", project=4)).id.startswith("c")
    ledger.start(first.id, 0, "w")
    ledger.request_cancel(first.id)
    assert ledger.want_alone(wish("d")).state == "cancelling"
    ledger.finish_cancelled(first.id, 0, 0.0)
    assert ledger.want_alone(wish("e")).id.startswith("e")
    assert [row.id[0] for row in ledger.project_jobs(KIND, 3)] == ["e", "a"]


def test_asked_from_many_threads_at_once_it_is_one_job(ledger: Ledger) -> None:
    found: list[str] = []

    def ask(name: str) -> None:
        found.append(ledger.want_alone(wish(name)).id)
        ledger.close()

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1


def test_a_failed_one_is_not_tried_again_beside_another(ledger: Ledger) -> None:
    first = ledger.want_alone(wish("a"))
    ledger.start(first.id, 0, "w")
    ledger.fail(first.id, 0, "no space left")
    second = ledger.want_alone(wish("b"))
    with pytest.raises(BadInput, match=r"project 3 has another job of this kind queued \(b0000"):
        ledger.requeue(first.id)
    ledger.request_cancel(second.id)
    assert ledger.requeue(first.id).state == "queued"


def test_progress_is_kept_and_stale_runs_are_refused(ledger: Ledger) -> None:
    row = ledger.want_alone(wish("a"))
    ledger.start(row.id, 0, "w")
    assert ledger.put_progress(row.id, 0, 2, 5, "training") == "running"
    row = ledger.job(row.id)
    assert (row.done, row.total, row.stage) == (2, 5, "training")
    ledger.request_cancel(row.id)
    assert ledger.put_progress(row.id, 0, 2, 5, "training") == "cancelling"
    with pytest.raises(Superseded):
        ledger.put_progress(row.id, 1, 3, 5, "scoring")


def test_three_deaths_without_a_new_step_are_enough(ledger: Ledger) -> None:
    row = ledger.want_alone(wish("a"))
    for generation, done in enumerate((1, 2, 2, 2, 2)):
        assert ledger.start(row.id, generation, "w") is not None
        ledger.put_progress(row.id, generation, done, 5, "training")
        row = ledger.rescue(row.id, generation)
        if row.state == "failed":
            break
    assert generation == 4, "a new step forgives, the same one does not"
    assert "killed 3 times at 'training', after step 2 of 5" in row.error and "Retry" in row.error


def test_old_ones_are_forgotten_but_not_the_last_of_each_project(ledger: Ledger) -> None:
    for name, project in (("a", 3), ("b", 3), ("c", 4)):
        row = ledger.want_alone(wish(name, project))
        ledger.start(row.id, 0, "w")
        ledger.finish(row.id, 0, 0.0)
    assert ledger.prune(0.0) == 1
    assert {row.id[0] for row in ledger.jobs()} == {"b", "c"}


@pytest.mark.parametrize("version", [2, 3])
def test_a_ledger_of_an_earlier_release_takes_stages(tmp_path: Path, version: int) -> None:
    path = tmp_path / "old.sqlite3"
    ledger = Ledger(path)
    row = ledger.want_alone(wish("a"))
    ledger.close()
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE jobs DROP COLUMN stage")
        if version == 2:
            db.execute("DROP TABLE clip_figures")
        db.execute(f"PRAGMA user_version = {version}")
    again = Ledger(path)
    assert again.job(row.id).stage == ""
    again.start(row.id, 0, "w")
    again.put_progress(row.id, 0, 1, 5, "snapshot")
    assert again.job(row.id).stage == "snapshot"
