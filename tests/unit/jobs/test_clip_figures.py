"""Figures of labelled clips in the ledger: as they were put, gone with their job, old files take them too."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from backends.core.types import FrameMasks
from backends.ledger import ClipFigures, Ledger, Pair
from backends.queues import ClipRequest
from tests.queue_house import SIZE_HW, disc

FIGURES = ClipFigures(
    (Pair("measured", {"car": 0.5, "road": 0.9}, {"car": 0.75, "road": 0.95}), Pair("cut"), Pair("unread")),
    {"car": 0.5, "road": 0.9},
    {"car": 0.75, "road": 0.95},
    {3: "3.png: the image cannot be decoded"},
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite3")


def finished(ledger: Ledger, task: int, version: str = "video_semantic-1") -> str:
    """A done job of this task, 4 frames."""
    refs = tuple(f"/data/local-files/?d=drive/{index}.png" for index in range(4))
    wanted = ClipRequest(3, task, refs, SIZE_HW, {"car": (), "road": ()}, version).wanted()
    row = ledger.want_job(wanted)
    assert ledger.start(row.id, row.generation, "w") is not None
    for index in range(4):
        ledger.put_frame(row.id, row.generation, FrameMasks(index, {"car": disc()}, {"car": 0.5}))
    ledger.finish(row.id, row.generation, 0.1)
    return row.id


def test_figures_come_back_as_they_were_put_and_later_ones_count(ledger: Ledger) -> None:
    job = finished(ledger, 1)
    assert ledger.clip_figures(job) is None
    ledger.put_clip_figures(job, ClipFigures(trouble="the frames are gone"))
    assert ledger.clip_figures(job) == ClipFigures(trouble="the frames are gone")
    ledger.put_clip_figures(job, FIGURES)
    assert ledger.clip_figures(job) == FIGURES
    assert FIGURES.mean == pytest.approx(0.85) and ClipFigures().mean is None
    ledger.put_clip_figures("f" * 40, FIGURES)  # pruned meanwhile
    assert ledger.clip_figures("f" * 40) is None


def test_figures_go_with_their_job_and_with_its_frames(ledger: Ledger) -> None:
    old, new = finished(ledger, 1), finished(ledger, 1, "video_semantic-2")
    for job in (old, new):
        ledger.put_clip_figures(job, FIGURES)
    ledger.forget_frames(new)
    assert ledger.clip_figures(new) is None
    with ledger._write() as db:
        db.execute("DELETE FROM jobs WHERE id = ?", (old,))
    assert ledger.clip_figures(old) is None


def test_clips_are_listed_least_steady_first_and_only_the_last_run_of_a_task(ledger: Ledger) -> None:
    unknown, steady, shaky = (finished(ledger, task) for task in (1, 2, 3))
    again = finished(ledger, 2, "video_semantic-2")
    ledger.put_clip_figures(steady, FIGURES)
    ledger.put_clip_figures(again, ClipFigures(FIGURES.pairs, {}, {"car": 0.9}))
    ledger.put_clip_figures(shaky, ClipFigures(FIGURES.pairs, {}, {"car": 0.3}))
    listed = ledger.labelled_clips("label_clip", 10)
    assert [(row.id, mean) for row, mean in listed] == [(shaky, 0.3), (again, 0.9), (unknown, None)]
    assert len(ledger.labelled_clips("label_clip", 2)) == 2 and ledger.labelled_clips("propagate", 9) == []


def test_one_frame_is_read_without_the_others(ledger: Ledger) -> None:
    job = finished(ledger, 1)
    frame = ledger.frame(job, 2)
    assert frame is not None and frame.frame_index == 2 and (frame.masks["car"] == disc()).all()
    assert ledger.frame(job, 4) is None


@pytest.mark.parametrize("version", [1, 2])
def test_a_ledger_of_an_earlier_release_takes_figures(tmp_path: Path, version: int) -> None:
    path = tmp_path / "old.sqlite3"
    ledger = Ledger(path)
    job = finished(ledger, 1)
    ledger.close()
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE clip_figures")
        if version == 1:
            db.execute("ALTER TABLE cells DROP COLUMN soft")
        db.execute(f"PRAGMA user_version = {version}")
    again = Ledger(path)
    again.put_clip_figures(job, FIGURES)
    assert again.clip_figures(job) == FIGURES and again.frames(job)
