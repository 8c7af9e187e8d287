"""The ledger: moves of a job, fences against the dead, frames in order, files that are none."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from backends.core.errors import BadInput, SetupFault, Superseded, Unavailable
from backends.core.types import FrameMasks, MaskPrompt
from backends.ledger import Ledger, WantedJob
from backends.ledger.digests import KEPT_PER_REGION
from backends.ledger.rows import MAX_STRIKES
from backends.ledger.workers import process_ticks
from tests.queue_house import SIZE_HW, disc, same_frames


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "deep" / "ledger.sqlite3")


def wanted(job_id: str = "j", task: int = 1, version: str = "m-1", deliver: bool = False) -> WantedJob:
    anchors = (MaskPrompt("b", 2, disc(4, 4)), MaskPrompt("a", 0, disc()))
    payload = {"frame_refs": ["x", "ÿ"]}
    return WantedJob(job_id, "propagate", 7, task, version, 4, SIZE_HW, payload, anchors, deliver)


def frame(index: int, column: int = 8) -> FrameMasks:
    anchored = frozenset({"a"} if index == 0 else ())
    masks = {"a": disc(8, column), "b": np.zeros(SIZE_HW, np.bool_)}
    return FrameMasks(index, masks, {"a": 1.0 if index == 0 else 0.75, "b": 0.5}, anchored)


def started(ledger: Ledger, job_id: str = "j") -> int:
    ledger.want_job(wanted(job_id))
    row = ledger.job(job_id)
    assert ledger.start(job_id, row.generation, "w") is not None
    return row.generation


def test_wanting_twice_is_one_job_and_keeps_its_anchors(ledger: Ledger) -> None:
    first = ledger.want_job(wanted())
    assert (first.state, first.generation, first.done, first.total, first.size_hw) == (
        "queued",
        0,
        0,
        4,
        SIZE_HW,
    )
    assert first.payload == {"frame_refs": ["x", "ÿ"]} and first.delivery == ""
    again = ledger.want_job(wanted(deliver=True))
    assert again.delivery == "pending" and again.created_at == first.created_at < again.wanted_at
    assert [(a.object_id, a.frame_index, a.is_anchor) for a in ledger.anchors("j")] == [
        ("a", 0, True),
        ("b", 2, True),
    ]
    assert np.array_equal(ledger.anchors("j")[1].mask, disc(4, 4)) and len(ledger.jobs()) == 1


def test_frames_come_back_in_the_order_of_finishing(ledger: Ledger) -> None:
    generation = started(ledger)
    sent = [frame(i) for i in (2, 0, 3)]
    assert [ledger.put_frame("j", generation, f, 0.1) for f in sent] == ["running"] * 3
    assert [f.frame_index for f in ledger.frames("j")] == [2, 0, 3] and same_frames(ledger.frames("j"), sent)
    assert [f.frame_index for f in ledger.frames("j", since=2)] == [3] and ledger.frames("j", since=3) == []
    ledger.put_frame("j", generation, frame(2, column=12))  # again: replaces, keeps its place
    assert [f.frame_index for f in ledger.frames("j")] == [2, 0, 3]
    assert np.array_equal(ledger.frames("j")[0].masks["a"], disc(8, 12)) and ledger.job("j").done == 3


@pytest.mark.parametrize(
    ("moves", "state"),
    [
        (["finish"], "done"),
        (["fail"], "failed"),
        (["cancel"], "cancelling"),
        (["cancel", "finish_cancelled"], "cancelled"),
        (["cancel", "finish"], "done"),  # it came after the last frame
        (["cancel", "give_back"], "cancelled"),
        (["cancel", "rescue"], "cancelled"),
        (["give_back"], "queued"),
        (["rescue"], "queued"),
        (["fail", "requeue"], "queued"),
        (["cancel", "finish_cancelled", "requeue"], "queued"),
        (["finish", "requeue"], "done"),
        (["finish", "cancel"], "done"),
        (["fail", "cancel"], "failed"),
        (["requeue"], "running"),
    ],
)
def test_moves_of_a_running_job(ledger: Ledger, moves: list[str], state: str) -> None:
    generation = started(ledger)
    ledger.put_frame("j", generation, frame(0))
    calls = {
        "finish": lambda: ledger.finish("j", generation, 0.5),
        "fail": lambda: ledger.fail("j", generation, "why"),
        "finish_cancelled": lambda: ledger.finish_cancelled("j", generation, 0.5),
        "give_back": lambda: ledger.give_back("j", generation),
        "rescue": lambda: ledger.rescue("j", generation),
        "cancel": lambda: ledger.request_cancel("j"),
        "requeue": lambda: ledger.requeue("j"),
    }
    for move in moves:
        row = calls[move]()
    assert row == ledger.job("j") and row.state == state
    assert row.generation == (1 if state == "queued" else 0)
    assert len(ledger.frames("j")) == row.done == 1, "finished frames stay"
    assert (row.finished_at is not None) == row.is_over


@pytest.mark.parametrize(
    "move", ["start", "put_frame", "stamp", "finish", "fail", "finish_cancelled", "give_back"]
)
def test_a_run_that_was_given_up_can_write_nothing(ledger: Ledger, move: str) -> None:
    old = started(ledger)
    ledger.rescue("j", old)
    before = ledger.job("j")
    calls = {
        "start": lambda: ledger.start("j", old, "w"),
        "put_frame": lambda: ledger.put_frame("j", old, frame(1)),
        "stamp": lambda: ledger.stamp("j", old),
        "finish": lambda: ledger.finish("j", old, 0.0),
        "fail": lambda: ledger.fail("j", old, "x"),
        "finish_cancelled": lambda: ledger.finish_cancelled("j", old, 0.0),
        "give_back": lambda: ledger.give_back("j", old),
    }
    if move == "start":
        assert calls[move]() is None
    else:
        with pytest.raises(Superseded, match="queued, generation 1; this run is 0"):
            calls[move]()
    assert ledger.job("j") == before and ledger.frames("j") == []


def test_a_cancel_shows_in_the_answer_to_the_next_frame(ledger: Ledger) -> None:
    generation = started(ledger)
    assert not ledger.is_cancel_requested("j")
    ledger.request_cancel("j")
    assert ledger.is_cancel_requested("j") and ledger.stamp("j", generation) == "cancelling"
    assert ledger.put_frame("j", generation, frame(1)) == "cancelling"
    assert ledger.job("j").done == 1


def test_deaths_without_progress_are_counted_and_progress_forgives(ledger: Ledger) -> None:
    ledger.want_job(wanted())
    for attempt in range(10):  # dies each time, one frame further each time
        row = ledger.job("j")
        ledger.start("j", row.generation, "w")
        ledger.put_frame("j", row.generation, frame(attempt % 4))
        assert ledger.rescue("j", row.generation).state == "queued"
    for death in range(MAX_STRIKES):
        row = ledger.job("j")
        ledger.start("j", row.generation, "w")
        row = ledger.rescue("j", row.generation)
        assert row.state == ("failed" if death == MAX_STRIKES - 1 else "queued")
    assert "died 3 times" in row.error
    row = ledger.requeue("j")
    assert (row.state, row.strikes, row.error) == ("queued", 0, "")


def test_being_asked_to_stop_is_no_strike(ledger: Ledger) -> None:
    ledger.want_job(wanted())
    for _ in range(MAX_STRIKES + 2):
        row = ledger.job("j")
        ledger.start("j", row.generation, "w")
        assert ledger.give_back("j", row.generation).strikes == 0


def test_only_one_of_many_workers_starts_a_job(ledger: Ledger) -> None:
    ledger.want_job(wanted())
    won: list[str] = []
    barrier = threading.Barrier(8)

    def contend(name: str) -> None:
        barrier.wait()
        if ledger.start("j", 0, name):
            won.append(name)

    threads = [threading.Thread(target=contend, args=(f"w{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [ledger.job("j").worker] and ledger.job("j").attempts == 1


def test_processes_write_at_once_and_nothing_is_lost(ledger: Ledger) -> None:
    code = (
        "import sys; from pathlib import Path; from backends.ledger import Ledger\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "for i in range(50): ledger.remember_machine_masks(1, {f'{sys.argv[2]}_{i}': 'd'})"
    )
    command = [sys.executable, "-c", code, str(ledger.path)]
    processes = [subprocess.Popen([*command, str(i)]) for i in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert len(ledger.machine_digests(1)) == 150


def test_deliveries_wait_their_time_and_give_way_to_newer_ones(ledger: Ledger) -> None:
    for job_id in ("old", "new"):
        ledger.want_job(wanted(job_id, deliver=True))
        ledger.start(job_id, 0, "w")
        ledger.finish(job_id, 0, 0.0)
    assert [row.id for row in ledger.deliveries_due()] == ["old", "new"]
    assert ledger.newer_delivery(ledger.job("old")) and not ledger.newer_delivery(ledger.job("new"))
    row = ledger.note_delivery("new", "pending", "Label Studio is away", time.time() + 60)
    assert (row.delivery_attempts, row.delivery_error) == (1, "Label Studio is away")
    assert [row.id for row in ledger.deliveries_due()] == ["old"]
    assert ledger.want_delivery("new").deliver_after == 0
    ledger.want_job(wanted("old", deliver=True))  # wished for again: now the other one is older
    assert ledger.newer_delivery(ledger.job("new")) and not ledger.newer_delivery(ledger.job("old"))
    assert ledger.note_delivery("old", "delivered").delivery == "delivered"
    assert ledger.last_done_job(1, "m-1").id == "new" and ledger.last_done_job(1, "m-2") is None


def test_a_prediction_has_one_sender_at_a_time(ledger: Ledger) -> None:
    row = ledger.plan_prediction(1, "m", "d1", "me", 60)
    assert row is not None and (row.state, row.prediction_id, row.doubted_at) == ("planned", None, 0)
    assert ledger.plan_prediction(1, "m", "d2", "you", 60) is None
    assert ledger.plan_prediction(1, "m", "d2", "me", 60).digest == "d2"
    ledger.doubt_prediction(1, "m")
    assert ledger.prediction(1, "m").state == "sent" and ledger.prediction(1, "m").doubted_at > 0
    ledger.release_prediction(1, "m", "you")  # not theirs to release
    assert ledger.plan_prediction(1, "m", "d3", "you", 60) is None
    ledger.confirm_prediction(1, "m", 42)
    assert ledger.plan_prediction(1, "m", "d3", "you", -1).prediction_id == 42
    assert ledger.plan_prediction(1, "m", "d4", "me", 60) is not None, "a claim ends by itself"


def test_the_cells_of_a_tasks_jobs_are_read_the_older_job_first(ledger: Ledger) -> None:
    for name, column in (("first", 8), ("second", 12)):
        generation = started(ledger, name)
        ledger.put_frame(name, generation, frame(1, column))
        ledger.put_frame(name, generation, frame(0, column))
    ledger.request_cancel("second")
    cells = ledger.task_cells(1)
    assert [(c.frame_index, c.object_id, c.is_anchor) for c in cells[:4]] == [
        (0, "a", True),
        (0, "b", False),
        (1, "a", False),
        (1, "b", False),
    ]
    assert np.array_equal(cells[2].mask, disc(8, 8)) and np.array_equal(cells[6].mask, disc(8, 12))
    assert {c.model_version for c in cells} == {"m-1"} and cells[0].asked_at <= cells[4].asked_at
    assert ledger.task_cells(2) == []


def test_machine_digests_are_kept_per_region_and_bounded(ledger: Ledger) -> None:
    for i in range(KEPT_PER_REGION + 5):
        ledger.remember_machine_masks(1, {"a_f0001": f"d{i}", "b_f0001": "same"})
    known = ledger.machine_digests(1)
    assert known["b_f0001"] == {"same"} and len(known["a_f0001"]) == KEPT_PER_REGION
    assert f"d{KEPT_PER_REGION + 4}" in known["a_f0001"] and ledger.machine_digests(2) == {}


def test_pruning_keeps_the_last_run_and_what_waits(ledger: Ledger) -> None:
    for job_id in ("first", "waits", "last"):
        ledger.want_job(wanted(job_id, deliver=job_id == "waits"))
        ledger.start(job_id, 0, "w")
        ledger.put_frame(job_id, 0, frame(0))
        ledger.finish(job_id, 0, 0.0)
    ledger.want_job(wanted("queued"))
    assert ledger.prune(keep_s=60) == 0 and ledger.prune(keep_s=-1) == 1
    assert {row.id for row in ledger.jobs()} == {"waits", "last", "queued"}
    assert ledger._read("SELECT * FROM cells WHERE job_id = 'first'") == []


def test_workers_are_alive_while_their_process_is(ledger: Ledger) -> None:
    ledger.register_worker("w", ("propagate", "io"))
    [row] = ledger.workers()
    assert row.is_alive and row.state == "loading" and row.queues == ("propagate", "io")
    ledger.beat("w", state="busy", model_version="m", job_id="j")
    [row] = ledger.workers()
    assert (row.state, row.model_version, row.job_id) == ("busy", "m", "j")
    ledger.register_worker("again", ("io",))  # same process: the earlier entry cannot be alive
    assert [row.name for row in ledger.workers()] == ["again"]
    ledger.forget_worker("again")
    assert ledger.workers() == []


@pytest.mark.parametrize(
    ("changes", "alive"),
    [
        ({}, True),
        ({"ticks": 1}, False),  # the pid now belongs to another process
        ({"seen_at": 0.0}, True),  # a clock that jumped does not kill a process of this machine
        ({"host": "elsewhere"}, True),
        ({"host": "elsewhere", "seen_at": 0.0}, False),
        ({"pid": 2**22 + 1}, False),
    ],
)
def test_who_counts_as_alive(ledger: Ledger, changes: dict[str, object], alive: bool) -> None:
    ledger.register_worker("w", ("propagate",))
    with ledger._write() as db:
        for column, value in changes.items():
            db.execute(f"UPDATE workers SET {column} = ?", (value,))
    assert ledger.workers()[0].is_alive is alive


def test_a_zombie_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    deadline = time.monotonic() + 30
    while process_ticks(process.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process_ticks(process.pid) == 0, "ended but not waited for"
    process.wait()
    assert process_ticks(os.getpid()) > 0


def test_files_that_are_no_ledger_are_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"not a database at all, " * 100)
    with pytest.raises(SetupFault, match="text is not a usable ledger"):
        Ledger(tmp_path / "text")
    newer = tmp_path / "newer"
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(SetupFault, match="newer MaskLoop"):
        Ledger(newer)


def test_a_disk_that_is_full_is_said_and_harms_nothing(ledger: Ledger) -> None:
    generation = started(ledger)
    pages = ledger._read("PRAGMA page_count")[0][0]
    ledger._read(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unavailable, match="check free disk space"):
        for index in range(4):
            noise = np.random.default_rng(index).random((600, 600)) > 0.5
            ledger.put_frame("j", generation, FrameMasks(index, {"a": noise}, {"a": 1.0}))
    ledger._read(f"PRAGMA max_page_count = {2**30}")
    assert ledger.job("j").done == len(ledger._read("SELECT 1 FROM frames"))
    assert ledger.put_frame("j", generation, frame(0)) == "running"


def test_unknown_jobs_are_named(ledger: Ledger) -> None:
    for call in (ledger.job, ledger.frames, ledger.requeue, ledger.request_cancel):
        with pytest.raises(BadInput, match="no job 'nope'"):
            call("nope")
