"""The shipped network in the real worker: a cancelled and resumed job ends with the masks of a quiet one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np

from backends import queues
from backends.catalogue import ALGORITHMS
from backends.core.types import MaskPrompt
from backends.queues import PropagationRequest
from backends.registry import Registry
from pipelines.propagate import propagate
from pipelines.working.collaborators import build
from tests.queue_house import ROOT, QueueHouse, disc, draw_frames, same_frames

N_FRAMES = 11


def test_cancel_and_retry_with_the_shipped_network(queue_house: QueueHouse) -> None:
    served = Registry(queue_house.settings.models_dir).served("video_object")
    draw_frames(queue_house.settings.media_root / "clip", N_FRAMES)
    anchors = (MaskPrompt("object 1", 0, disc()), MaskPrompt("object 1", 7, disc(12, 20)))
    refs = tuple(f"/data/local-files/?d=clip/{i:05d}.png" for i in range(N_FRAMES))
    request = PropagationRequest(1, 1, refs, disc().shape, anchors, served.version)

    env = os.environ | queue_house.env | {"MASKLOOP_THREADS": "1"}
    command = [sys.executable, "-m", "pipelines.worker"]
    queue_house.workers.append(subprocess.Popen(command, env=env, cwd=ROOT))
    queue_house.until(lambda: any(w.state == "idle" for w in queue_house.ledger.workers()))
    assert queue_house.ledger.workers()[0].model_version == served.version
    job_id = queue_house.enqueue(request).id
    queue_house.until_frames(job_id, 2)
    queues.cancel(queue_house.ledger, queue_house.redis, job_id)
    row = queue_house.until_state(job_id, "cancelled", "done", "failed")
    kept = queue_house.ledger.frames(job_id)
    assert row.state == "cancelled" and 2 <= len(kept) < N_FRAMES

    queues.retry(queue_house.ledger, queue_house.redis, job_id)
    row = queue_house.until_state(job_id, "done", "failed")
    assert row.state == "done", row.error
    frames = queue_house.ledger.frames(job_id)
    clip = build(queue_house.settings, queue_house.ledger, "nobody").clip(row)
    settings = replace(queue_house.settings, threads=1)
    segmenter = ALGORITHMS["video_object"].load(served.weights, settings, served.version)
    assert same_frames(frames[: len(kept)], kept)
    assert same_frames(frames, list(propagate(segmenter, clip, anchors)))
    [given] = [f for f in frames if f.frame_index == 7]
    assert np.array_equal(given.masks["object 1"], anchors[1].mask)
