"""Jobs from the wish to the last frame: real Redis, real ledger, a real worker process."""

from __future__ import annotations

import time

import numpy as np
import pytest

from backends import queues
from backends.core.errors import BadInput, NoWorker, RedisDown
from backends.core.types import MaskPrompt
from pipelines.propagate import propagate
from pipelines.working.collaborators import TaskFrames
from tests.queue_house import QueueHouse, disc, draw_frames, same_frames
from tests.stand_in import StandIn


def test_a_wish_becomes_masks_on_every_frame(queue_house: QueueHouse) -> None:
    queue_house.start_worker()
    request = queue_house.request(12)
    row = queue_house.until_state(queue_house.enqueue(request).id, "done", "failed")
    assert (row.state, row.done, row.total, row.error) == ("done", 12, 12, "")
    frames = queue_house.ledger.frames(row.id)
    assert sorted(f.frame_index for f in frames) == list(range(12))
    first = next(f for f in frames if f.frame_index == 0)
    assert np.array_equal(first.masks["object 1"], disc()) and first.anchors == {"object 1"}
    assert row.overhead_s is not None and row.overhead_s < 5


def test_frames_and_time_arrive_while_it_runs(queue_house: QueueHouse) -> None:
    queue_house.start_worker(frame_s=0.1)
    job_id = queue_house.enqueue(queue_house.request(12)).id
    row = queue_house.until_frames(job_id, 3)
    assert row.state == "running" and row.done < 12 and row.network_s >= 0.3
    assert len(queue_house.ledger.frames(job_id, since=2)) >= 1
    row = queue_house.until_state(job_id, "done")
    assert 1.2 <= row.network_s < (row.finished_at or 0) - (row.started_at or 0)


def test_the_same_wish_twice_is_one_job_and_one_run(queue_house: QueueHouse) -> None:
    queue_house.start_worker()
    ids = {queue_house.enqueue(queue_house.request(6)).id for _ in range(5)}
    row = queue_house.until_state(ids.pop(), "done")
    assert not ids and queue_house.enqueue(queue_house.request(6)) == queue_house.ledger.job(row.id)
    assert queue_house.ledger.job(row.id).attempts == 1


def test_cancel_while_it_runs_keeps_frames_and_retry_gives_the_same_masks(queue_house: QueueHouse) -> None:
    queue_house.start_worker(frame_s=0.1)
    request = queue_house.request(14)
    job_id = queue_house.enqueue(request).id
    queue_house.until_frames(job_id, 4)
    assert queues.cancel(queue_house.ledger, queue_house.redis, job_id).state == "cancelling"
    row = queue_house.until_state(job_id, "cancelled")
    kept = queue_house.ledger.frames(job_id)
    assert 4 <= len(kept) == row.done < 14

    queues.retry(queue_house.ledger, queue_house.redis, job_id)
    row = queue_house.until_state(job_id, "done")
    after = queue_house.ledger.frames(job_id)
    assert same_frames(after[: len(kept)], kept), "finished frames were changed or reordered"
    clip = TaskFrames(_locator(queue_house), 10**6)(row)
    assert same_frames(after, list(propagate(StandIn(), clip, request.anchors)))


def test_cancel_before_it_starts(queue_house: QueueHouse) -> None:
    queue_house.start_worker(frame_s=0.2)
    busy = queue_house.enqueue(queue_house.request(30, task=1)).id
    queue_house.until_state(busy, "running")
    waiting = queue_house.enqueue(queue_house.request(5, task=2)).id
    assert queues.cancel(queue_house.ledger, queue_house.redis, waiting).state == "cancelled"
    queues.cancel(queue_house.ledger, queue_house.redis, busy)
    queue_house.until_state(busy, "cancelled")
    assert queue_house.ledger.job(waiting).attempts == 0


def test_cancel_reaches_a_job_that_reads_but_has_not_finished_a_frame(queue_house: QueueHouse) -> None:
    queue_house.start_worker(frame_s=0.4)
    job_id = queue_house.enqueue(queue_house.request(40)).id
    queue_house.until_state(job_id, "running")
    asked = time.monotonic()
    queues.cancel(queue_house.ledger, queue_house.redis, job_id)
    queue_house.until_state(job_id, "cancelled")
    assert time.monotonic() - asked < 10


def test_a_correction_runs_only_the_stretch_it_touches(queue_house: QueueHouse) -> None:
    queue_house.start_worker(frame_s=0.05)
    first = (MaskPrompt("object 1", 0, disc()), MaskPrompt("object 2", 0, disc(16, 20)))
    done = queue_house.until_state(queue_house.enqueue(queue_house.request(16, anchors=first)).id, "done")
    fixed = (*first, MaskPrompt("object 2", 10, disc(12, 12)))
    again = queue_house.until_state(queue_house.enqueue(queue_house.request(16, anchors=fixed)).id, "done")
    before = {f.frame_index: f for f in queue_house.ledger.frames(done.id)}
    for frame in queue_house.ledger.frames(again.id):
        old = before[frame.frame_index]
        free = ~disc(12, 12) if frame.frame_index == 10 else np.ones_like(disc())
        assert np.array_equal(frame.masks["object 1"], old.masks["object 1"] & free)
    changed = next(f for f in queue_house.ledger.frames(again.id) if f.frame_index == 10)
    assert np.array_equal(changed.masks["object 2"], disc(12, 12))


def test_no_worker_is_said_and_nothing_is_stored(queue_house: QueueHouse) -> None:
    with pytest.raises(NoWorker, match="no worker listens to the queue 'propagate'"):
        queue_house.enqueue(queue_house.request(3))
    assert queue_house.ledger.jobs() == []
    queue_house.kill(queue_house.start_worker())
    with pytest.raises(NoWorker, match=r"the last one was seen \d+ s ago"):
        queue_house.enqueue(queue_house.request(3))


def test_redis_down_is_said_and_nothing_is_stored(queue_house: QueueHouse) -> None:
    queue_house.start_worker()
    queue_house.server.kill()
    with pytest.raises(RedisDown, match="does not answer"):
        queue_house.enqueue(queue_house.request(3))
    assert queue_house.ledger.jobs() == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda clip: [path.unlink() for path in clip.iterdir()], "frame 0 of 6"),
        (lambda clip: (clip / "00004.png").write_bytes(b"\x89PNG broken"), "00004.png"),
        (lambda clip: draw_frames(clip, 3, (30, 40)), "40x30"),
    ],
    ids=["folder emptied", "broken frame", "another size"],
)
def test_media_that_went_bad_fail_the_job_in_words_and_the_next_job_runs(
    queue_house: QueueHouse, spoil, words: str
) -> None:
    request = queue_house.request(6, task=1)
    spoil(queue_house.settings.media_root / "clip1")
    queue_house.start_worker()
    row = queue_house.until_state(queue_house.enqueue(request).id, "failed", "done")
    assert row.state == "failed" and words in row.error and "Traceback" not in row.error
    good = queue_house.until_state(queue_house.enqueue(queue_house.request(4, task=2)).id, "done", "failed")
    assert good.state == "done"
    queue_house.request(6, task=1)  # draws the frames anew
    queues.retry(queue_house.ledger, queue_house.redis, row.id)
    assert queue_house.until_state(row.id, "done").error == ""


def test_unknown_jobs_are_refused(queue_house: QueueHouse) -> None:
    queue_house.start_worker()
    for verb in (queues.cancel, queues.retry):
        with pytest.raises(BadInput, match="no job 'nope'"):
            verb(queue_house.ledger, queue_house.redis, "nope")


def _locator(house: QueueHouse):
    from backends.labelstudio.media import FrameLocator

    s = house.settings
    return FrameLocator(s.media_root, s.label_studio_url, s.label_studio_token, s.data_dir / "cache")
