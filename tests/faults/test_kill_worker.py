"""kill -9 and worse: nothing finished is lost, nothing runs for ever, the masks are those of a quiet day."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import psutil

from backends import queues
from backends.core.types import FrameMasks
from backends.ledger import JobRow
from pipelines.propagate import propagate
from pipelines.working.allowed import CarefulQueue
from tests.queue_house import ROOT, QueueHouse, same_frames
from tests.stand_in import StandIn


def undisturbed(house: QueueHouse, row: JobRow) -> list[FrameMasks]:
    """What a run gives that nobody disturbs."""
    from pipelines.working.collaborators import build

    work = build(house.settings, house.ledger, "nobody")
    return list(propagate(StandIn(), work.clip(row), house.ledger.anchors(row.id)))


def test_a_restarted_worker_finishes_the_job_of_a_killed_one(queue_house: QueueHouse) -> None:
    worker = queue_house.start_worker(frame_s=0.1)
    job_id = queue_house.enqueue(queue_house.request(16)).id
    queue_house.until_frames(job_id, 5)
    queue_house.kill(worker)
    kept = queue_house.ledger.frames(job_id)
    assert queue_house.ledger.job(job_id).state == "running"  # nobody told the ledger

    queue_house.start_worker()
    row = queue_house.until_state(job_id, "done", "failed")
    after = queue_house.ledger.frames(job_id)
    assert (row.state, row.attempts, len(after)) == ("done", 2, 16)
    assert same_frames(after[: len(kept)], kept) and same_frames(after, undisturbed(queue_house, row))


def test_another_worker_takes_over_within_seconds(queue_house: QueueHouse) -> None:
    first = queue_house.start_worker(frame_s=0.2)
    job_id = queue_house.enqueue(queue_house.request(12)).id
    queue_house.until_frames(job_id, 2)
    queue_house.start_worker()
    queue_house.kill(first)
    killed = time.monotonic()
    queue_house.until_state(job_id, "done")
    assert time.monotonic() - killed < 30


def test_the_holder_of_the_maintenance_lock_is_killed(queue_house: QueueHouse) -> None:
    worker = queue_house.start_worker(frame_s=0.1)
    job_id = queue_house.enqueue(queue_house.request(10)).id
    queue_house.until_frames(job_id, 2)
    for name in queues.WARM_QUEUES:
        assert CarefulQueue(name, connection=queue_house.redis).acquire_maintenance_lock()
    queue_house.kill(worker)
    queue_house.start_worker()
    queue_house.until_state(job_id, "done")


def test_many_kills_lose_nothing(queue_house: QueueHouse) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    dice = random.Random(seed)
    worker = queue_house.start_worker(frame_s=0.03)
    ids = [queue_house.enqueue(queue_house.request(14, task=task)).id for task in range(1, 5)]
    for kill in range(8):
        if kill % 2:  # every other time mid-job for sure; three deaths without a new frame would be poison
            done = finished_frames(queue_house, ids)
            queue_house.until(lambda done=done: finished_frames(queue_house, ids) > min(done, 14 * 4 - 1))
        time.sleep(dice.uniform(0.0, 0.4))
        queue_house.kill(worker)
        if dice.random() < 0.4:
            queue_house.server.kill()
            queue_house.server.start()
        worker = queue_house.start_worker(frame_s=0.03)
    for job_id in ids:
        row = queue_house.until_state(job_id, "done", "failed")
        assert row.state == "done", row.error
        assert same_frames(queue_house.ledger.frames(job_id), undisturbed(queue_house, row))


def finished_frames(house: QueueHouse, ids: list[str]) -> int:
    return sum(house.ledger.job(job_id).done for job_id in ids)


def test_redis_killed_in_mid_job_and_back(queue_house: QueueHouse) -> None:
    worker = queue_house.start_worker(frame_s=0.1)
    job_id = queue_house.enqueue(queue_house.request(12)).id
    waiting = queue_house.enqueue(queue_house.request(4, task=2)).id
    queue_house.until_frames(job_id, 3)
    queue_house.server.kill()
    assert queue_house.until_state(job_id, "done", "failed").state == "done"  # with Redis away
    queue_house.server.start()
    assert queue_house.until_state(waiting, "done").attempts == 1
    assert worker.poll() is None, "the worker should have lived on"


def test_redis_forgets_everything(queue_house: QueueHouse) -> None:
    queue_house.start_worker(frame_s=0.1)
    running = queue_house.enqueue(queue_house.request(10, task=1)).id
    waiting = [queue_house.enqueue(queue_house.request(3, task=task)).id for task in (2, 3)]
    queue_house.until_frames(running, 1)
    queue_house.server.flush()
    for job_id in (running, *waiting):
        row = queue_house.until_state(job_id, "done", "failed")
        assert (row.state, row.attempts) == ("done", 1)


def test_a_job_that_kills_its_worker_is_given_up_and_others_run(queue_house: QueueHouse) -> None:
    worker = queue_house.start_worker(die_at=7)
    job_id = queue_house.enqueue(queue_house.request(12, task=1)).id
    other = queue_house.enqueue(queue_house.request(6, task=2)).id
    deaths = 0
    while queue_house.ledger.job(job_id).state != "failed":
        queue_house.until(
            lambda ended=worker.poll: ended() is not None or queue_house.ledger.job(job_id).state == "failed"
        )
        if worker.poll() is not None:
            deaths += 1
            worker = queue_house.start_worker(wait=False, die_at=7)
    row = queue_house.ledger.job(job_id)
    assert deaths == row.attempts == 4, "one death after seven new frames, three without any"
    assert "the worker died 3 times" in row.error and row.done == 7
    assert queue_house.until_state(other, "done").done == 6


def test_a_job_that_hangs_is_failed_and_the_worker_ends(queue_house: QueueHouse) -> None:
    queue_house.env["MASKLOOP_STALL_S"] = "2"
    worker = queue_house.start_worker(hang_at=3)
    job_id = queue_house.enqueue(queue_house.request(8)).id
    row = queue_house.until_state(job_id, "failed")
    assert "no progress for 2 s with 3 of 8 frames finished" in row.error
    assert worker.wait(timeout=30) == 5
    assert len(queue_house.ledger.frames(job_id)) == 3


def test_asked_to_stop_the_worker_gives_the_job_back_at_once(queue_house: QueueHouse) -> None:
    worker = queue_house.start_worker(frame_s=0.1)
    job_id = queue_house.enqueue(queue_house.request(40)).id
    queue_house.until_frames(job_id, 2)
    queue_house.kill(worker, signal.SIGTERM)
    row = queue_house.ledger.job(job_id)
    assert (row.state, worker.returncode) == ("queued", 0) and row.done < 40
    assert queue_house.ledger.workers() == []
    queue_house.start_worker()
    assert queue_house.until_state(job_id, "done").done == 40


def test_cancel_of_a_job_whose_worker_is_dead(queue_house: QueueHouse) -> None:
    worker = queue_house.start_worker(frame_s=0.1)
    job_id = queue_house.enqueue(queue_house.request(20)).id
    queue_house.until_frames(job_id, 2)
    queue_house.kill(worker)
    row = queues.cancel(queue_house.ledger, queue_house.redis, job_id)
    assert row.state == "cancelled" and row.done >= 2


def test_a_worker_given_up_for_dead_can_write_nothing_more(queue_house: QueueHouse) -> None:
    slow = queue_house.start_worker(frame_s=0.3)
    job_id = queue_house.enqueue(queue_house.request(10)).id
    row = queue_house.until_frames(job_id, 2)
    slow.send_signal(signal.SIGSTOP)
    queue_house.ledger.rescue(job_id, row.generation)  # as a watcher on another machine would
    queue_house.start_worker()
    done = queue_house.until_state(job_id, "done")
    frames = queue_house.ledger.frames(job_id)
    slow.send_signal(signal.SIGCONT)
    queue_house.until(lambda: _is_idle(queue_house, slow.pid))
    assert queue_house.ledger.job(job_id) == done
    assert same_frames(queue_house.ledger.frames(job_id), frames)


def test_no_worker_outlives_its_parent(queue_house: QueueHouse) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'tests.stand_in'])"
    env = {**psutil.Process().environ(), **queue_house.env}
    parent = subprocess.Popen([sys.executable, "-c", code], env=env, cwd=ROOT)
    queue_house.until(lambda: any(w.state == "idle" for w in queue_house.ledger.workers()))
    child = queue_house.ledger.workers()[0]
    assert child.is_alive
    parent.kill()
    parent.wait()
    queue_house.until(lambda: not child.is_alive, limit_s=10)


def _is_idle(house: QueueHouse, pid: int) -> bool:
    return any(w.pid == pid and w.state == "idle" for w in house.ledger.workers())
