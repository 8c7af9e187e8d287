"""A clip's job under a killed worker: every frame once, the answers those of a quiet day."""

from __future__ import annotations

import numpy as np

from backends import queues
from backends.core.frames import clip_from_folder
from backends.labelstudio.class_names import match_names
from backends.queues import ClipRequest
from tests.queue_house import SIZE_HW, QueueHouse, draw_frames
from tests.stand_in import VERSION, StandIn

LABELS = {"Vehicle": ("car",), "road": ()}


def test_a_killed_clip_goes_on_with_the_past_in_sight(queue_house: QueueHouse) -> None:
    folder = queue_house.settings.media_root / "clip9"
    draw_frames(folder, 12)
    refs = tuple(f"/data/local-files/?d=clip9/{index:05d}.png" for index in range(12))
    request = ClipRequest(3, 9, refs, SIZE_HW, LABELS, VERSION)
    worker = queue_house.start_worker(frame_s=0.3)
    job_id = queues.enqueue_clip(queue_house.ledger, queue_house.redis, request).id
    queue_house.until_frames(job_id, 4)
    queue_house.kill(worker)
    assert queue_house.ledger.job(job_id).done < 12, "killed too late to mean anything"
    queue_house.start_worker()
    row = queue_house.until_state(job_id, "done", "failed")
    assert (row.state, row.attempts, row.done, row.delivery) == ("done", 2, 12, "pending")
    assert queues.enqueue_clip(queue_house.ledger, queue_house.redis, request).id == job_id, "the same wish"

    names = match_names(StandIn().classes, LABELS)
    clip = clip_from_folder(folder)
    quiet = {f.frame_index: names.relabelled(f) for f in StandIn().segment(clip, ())}
    found = {f.frame_index: f for f in queue_house.ledger.frames(job_id)}
    assert found.keys() == quiet.keys()
    for index, frame in quiet.items():
        assert set(found[index].masks) == {"Vehicle", "road"}
        assert all(np.array_equal(found[index].masks[name], mask) for name, mask in frame.masks.items())
