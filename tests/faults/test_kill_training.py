"""kill -9 of trainings and of their worker: what was trained is kept, and what cannot go on is said."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from backends import queues
from pipelines.trainings import process_arguments
from tests.queue_house import ROOT, QueueHouse
from tests.training_house import TrainingHouse
from tests.training_stand_in import STEPS


@pytest.fixture
def house(queue_house: QueueHouse) -> TrainingHouse:
    return TrainingHouse(queue_house)


def test_a_killed_training_goes_on_from_what_is_kept(house: TrainingHouse) -> None:
    worker = house.start_trainer(step_s=0.2)
    row = house.improve()
    house.until_steps(row.id, 3)
    house.process_of(worker).kill()
    row = house.until_state(row.id, "done", "failed")
    assert (row.state, row.attempts, row.error) == ("done", 2, "")
    assert house.steps(row.id) == list(range(STEPS)), "no step twice"
    assert worker.poll() is None


def test_with_its_worker_the_training_dies_and_the_next_worker_goes_on(house: TrainingHouse) -> None:
    worker = house.start_trainer(step_s=0.2)
    row = house.improve()
    house.until_steps(row.id, 3)
    process = house.process_of(worker)
    house.kill(worker)
    house.until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, limit_s=10)
    assert house.ledger.job(row.id).state == "running"  # nobody told the ledger
    house.start_trainer()
    row = house.until_state(row.id, "done", "failed")
    assert (row.state, row.attempts) == ("done", 2) and house.steps(row.id) == list(range(STEPS))


def test_a_training_that_dies_at_one_step_again_and_again_is_given_up(house: TrainingHouse) -> None:
    house.start_trainer(die_at=0)
    row = house.until_state(house.improve().id, "failed", "done")
    assert row.attempts == 3
    assert "it was killed 3 times at 'training', after step 0 of 8" in row.error
    house.until(lambda: row.error in house.told())
    other = house.improve(9)
    house.until(lambda: house.ledger.job(other.id).attempts)  # the worker goes on with other projects


def test_out_of_memory_is_named_and_not_tried_again(house: TrainingHouse, tmp_path: Path) -> None:
    counter = tmp_path / "memory.events"
    counter.write_text("low 0\noom 4\noom_kill 4\n")
    worker = house.start_trainer(step_s=0.3, memory=counter)
    row = house.improve()
    house.until_steps(row.id, 2)
    counter.write_text("low 0\noom 5\noom_kill 5\n")
    house.process_of(worker).kill()
    row = house.until_state(row.id, "failed", "done")
    assert row.attempts == 1 and row.error.startswith("out of memory at 'training', after step")
    assert "--set training.batch=1" in row.error


def test_a_crash_is_named_with_the_last_words(house: TrainingHouse) -> None:
    house.start_trainer(crash_at=2)
    row = house.until_state(house.improve().id, "failed", "done")
    assert "the training's process crashed (SIGABRT) at 'training'" in row.error and row.attempts == 1
    assert str(house.log(row.id)) in row.error


def test_a_training_that_hangs_is_ended_and_one_that_works_is_not(house: TrainingHouse) -> None:
    house.house.env["MASKLOOP_STALL_S"] = "2"
    worker = house.start_trainer(hang_at=3)
    row = house.until_state(house.improve().id, "failed", "done")
    assert "no sign of life for 2 s at 'training', after step 3 of 8" in row.error
    assert worker.poll() is None
    house.kill(worker, signal.SIGTERM)
    house.start_trainer(spin_at=3)  # one step that takes longer, but computes
    queues.retry(house.ledger, house.redis, row.id)
    assert house.until_state(row.id, "failed", "done").state == "done"


def test_cancel_of_a_training_whose_worker_is_dead(house: TrainingHouse) -> None:
    worker = house.start_trainer(step_s=0.2)
    row = house.improve()
    house.until_steps(row.id, 2)
    house.kill(worker)
    assert queues.cancel(house.ledger, house.redis, row.id).state == "cancelled"


def test_a_training_given_up_for_dead_can_write_nothing_more(house: TrainingHouse) -> None:
    worker = house.start_trainer(step_s=0.3)
    row = house.improve()
    house.until_steps(row.id, 2)
    process = house.process_of(worker)
    row = house.ledger.job(row.id)
    worker.send_signal(signal.SIGSTOP)
    house.ledger.rescue(row.id, row.generation)  # as a watcher on another machine would
    house.until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    made = house.steps(row.id)
    worker.send_signal(signal.SIGCONT)
    assert house.until_state(row.id, "done").attempts == 2
    assert house.steps(row.id)[: len(made)] == made and house.steps(row.id) == list(range(STEPS))


def test_a_process_that_comes_too_late_does_nothing(house: TrainingHouse) -> None:
    house.start_trainer()
    row = house.until_state(house.improve().id, "done")
    command = ["-m", "tests.training_stand_in", "process", *process_arguments(row)]
    done = subprocess.run(
        [sys.executable, *command],
        env={**psutil.Process().environ(), **house.house.env},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "nothing to do" in done.stderr
    assert house.ledger.job(row.id) == row


def test_redis_forgets_everything_meanwhile(house: TrainingHouse) -> None:
    house.start_trainer(step_s=0.1)
    row, waiting = house.improve(3), house.improve(4)
    house.until_steps(row.id, 2)
    house.house.server.flush()
    for job in (row, waiting):
        done = house.until_state(job.id, "done", "failed")
        assert (done.state, done.attempts) == ("done", 1)
