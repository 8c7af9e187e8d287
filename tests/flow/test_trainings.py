"""Trainings on their queue: one at a time per project, a process each, progress, cancel, retry, words."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from backends import queues
from backends.core.errors import BadInput, NoWorker
from backends.queues import ImproveRequest
from tests.queue_house import QueueHouse
from tests.training_house import TrainingHouse
from tests.training_stand_in import OUTCOME, STEPS


@pytest.fixture
def house(queue_house: QueueHouse) -> TrainingHouse:
    return TrainingHouse(queue_house)


def test_without_a_training_worker_nothing_is_stored(house: TrainingHouse) -> None:
    house.house.start_worker()  # it answers clicks and does not train
    with pytest.raises(NoWorker, match="maskloop worker --train"):
        house.improve()
    assert house.ledger.jobs() == []


def test_a_project_of_no_number_is_refused() -> None:
    with pytest.raises(BadInput, match="project 0 is no project's number"):
        ImproveRequest(0, "video_object", "why")


def test_a_cycle_runs_in_a_process_of_its_own_that_gives_way(house: TrainingHouse) -> None:
    worker = house.start_trainer(step_s=0.2)
    row = house.improve(reason="Start training was pressed")
    process = house.process_of(worker)
    house.until_steps(row.id, 2)
    assert process.nice() == 10 and os.getpgid(process.pid) == process.pid
    libraries = {region.path.rsplit("/", 1)[-1] for region in psutil.Process(worker.pid).memory_maps()}
    assert not [name for name in libraries if name.startswith("libtorch")]
    running = house.ledger.job(row.id)
    assert (running.state, running.total, running.stage) == ("running", STEPS, "training")
    assert house.until_state(row.id, "done", "failed").state == "done"
    row = house.ledger.job(row.id)
    assert (row.done, row.stage, row.error) == (STEPS, OUTCOME, "")
    assert row.payload == {"algorithm": "video_object", "reason": "Start training was pressed"}
    assert house.steps(row.id) == list(range(STEPS))
    house.until(lambda: f"Project 3: {OUTCOME}" in house.told())
    house.until(lambda: not process.is_running())


def test_once_at_a_time_per_project_and_in_turn_for_others(house: TrainingHouse) -> None:
    house.start_trainer(step_s=0.1)
    first, other = house.improve(3), house.improve(4)
    assert house.improve(3).id == first.id
    house.until_steps(first.id, 1)
    assert house.improve(3).id == first.id and house.ledger.job(other.id).state == "queued"
    assert house.until_state(other.id, "done").attempts == 1
    assert house.improve(3).id != first.id


def test_a_cancelled_training_keeps_its_steps_and_goes_on_with_retry(house: TrainingHouse) -> None:
    worker = house.start_trainer(step_s=0.3)
    row = house.improve()
    house.until_steps(row.id, 2)
    assert queues.cancel(house.ledger, house.redis, row.id).state == "cancelling"
    row = house.until_state(row.id, "cancelled")
    made = len(house.steps(row.id))
    assert 2 <= made < STEPS and row.done >= 2 and not row.error
    house.until(lambda: not psutil.Process(worker.pid).children())
    queues.retry(house.ledger, house.redis, row.id)
    assert house.until_state(row.id, "done").attempts == 2
    assert house.steps(row.id) == list(range(STEPS))


def test_a_queued_training_is_cancelled_at_once(house: TrainingHouse) -> None:
    house.start_trainer(step_s=0.2)
    first, second = house.improve(3), house.improve(4)
    assert queues.cancel(house.ledger, house.redis, second.id).state == "cancelled"
    house.until_state(first.id, "done")
    assert house.steps(second.id) == []


def test_a_training_that_hears_nothing_is_killed_in_the_end(house: TrainingHouse) -> None:
    house.start_trainer(deaf_at=2, patience_s=1)
    row = house.improve()
    house.until_steps(row.id, 2)
    house.until(lambda: house.ledger.job(row.id).done == 2)
    queues.cancel(house.ledger, house.redis, row.id)
    assert house.until_state(row.id, "cancelled", "failed").state == "cancelled"


WORDS = {
    "input": "project 3 has no submitted work: label a clip first",
    "disk": "the disk is full while writing weights.safetensors; free some space, then press Retry",
    "memory": "out of memory (the system gave no more); ask for less at once: `maskloop policy",
    "cuda": "out of memory (CUDA out of memory. Tried to allocate 2.00 GiB); ask for less",
    "bug": "unexpected ValueError: shapes differ; the training's log has the details",
}


def test_what_goes_wrong_is_said_and_the_worker_goes_on(house: TrainingHouse) -> None:
    house.start_trainer()
    for error, words in WORDS.items():
        row = house.until_state(house.improve(reason=error).id, "failed", "done")
        assert row.state == "failed" and row.error.startswith(words)
        house.until(lambda told=f"Project 3: no better model was made: {words}": told in house.told())
    assert "Traceback" in house.log(row.id).read_text()


def test_a_ticket_for_another_function_is_refused(house: TrainingHouse) -> None:
    house.start_trainer()
    bad = queues.tickets.Ticket("x-0", "train", "os.system", {"command": "touch /tmp/never"})
    queues.tickets.push(house.redis, bad)
    row = house.until_state(house.improve().id, "done", "failed")
    assert row.state == "done", "the worker lives on"


def test_told_to_stop_the_worker_gives_the_training_back(house: TrainingHouse) -> None:
    worker = house.start_trainer(step_s=0.3)
    row = house.improve()
    house.until_steps(row.id, 2)
    process = house.process_of(worker)
    house.kill(worker, signal.SIGTERM)
    row = house.ledger.job(row.id)
    assert (worker.returncode, row.state, row.strikes) == (0, "queued", 0)
    assert not process.is_running()
    house.start_trainer()
    assert house.until_state(row.id, "done").done == STEPS
    assert house.steps(row.id) == list(range(STEPS))
