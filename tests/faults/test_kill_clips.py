"""A clip's job under a killed worker: every frame once, the answers those of a quiet day."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from backends import queues
from backends.clip_labels import ClipLabels
from backends.core.errors import BadInput, NoWorker
from backends.core.frames import clip_from_folder
from backends.core.types import FrameMasks
from backends.labelstudio.class_names import match_names
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.media import FrameLocator
from backends.labelstudio.regions import anchors, read_masks
from backends.notices import Notices
from backends.queues import ClipRequest
from backends.settings import from_env
from pipelines.ingest import ingest
from pipelines.tag_project.clips import clip_plan, within_budget
from pipelines.tag_project.make import make_project
from tests.http_script import reply, scripted
from tests.label_studio import LabelStudioServer
from tests.queue_house import SIZE_HW, QueueHouse, draw_frames
from tests.stand_in import VERSION, StandIn

JSON = {"Content-Type": "application/json"}
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

    queue_house.until(lambda: queue_house.ledger.clip_figures(job_id))  # measured behind the delivery
    figures = queue_house.ledger.clip_figures(job_id)
    assert figures is not None and len(figures.pairs) == 11 and not figures.trouble


def test_figures_that_a_killed_worker_took_along_can_be_asked_for(queue_house: QueueHouse) -> None:
    draw_frames(queue_house.settings.media_root / "clip9", 12)
    refs = tuple(f"/data/local-files/?d=clip9/{index:05d}.png" for index in range(12))
    ledger, redis = queue_house.ledger, queue_house.redis
    row = ledger.want_job(ClipRequest(3, 9, refs, SIZE_HW, LABELS, VERSION).wanted())
    with pytest.raises(BadInput, match="wants a clip that is labelled"):
        queues.want_figures(ledger, redis, row.id)
    ledger.start(row.id, row.generation, "gone")
    for index in range(12):
        masks = {"road": np.ones(SIZE_HW, np.bool_)}
        ledger.put_frame(row.id, row.generation, FrameMasks(index, masks, {"road": 0.5}))
    ledger.finish(row.id, row.generation, 0.1)  # the worker ended before it measured
    with pytest.raises(NoWorker):
        queues.want_figures(ledger, redis, row.id)
    queue_house.start_worker()
    for _ in range(2):
        queues.want_figures(ledger, redis, row.id)
    queue_house.until(lambda: ledger.clip_figures(row.id))
    assert {worker.job_id for worker in ledger.workers()} <= {"", row.id}


@pytest.mark.labelstudio
def test_a_projects_clips_get_one_prediction_each_and_only_what_a_person_changed_is_theirs(
    queue_house: QueueHouse, label_studio: LabelStudioServer, tmp_path: Path
) -> None:
    queue_house.env |= {
        "MASKLOOP_LABEL_STUDIO_URL": label_studio.url,
        "MASKLOOP_LABEL_STUDIO_TOKEN": label_studio.token,
        "MASKLOOP_MEDIA_ROOT": str(label_studio.media_root),
    }
    settings = from_env(queue_house.env)
    client = LabelStudioClient(label_studio.url, label_studio.token, timeout_s=60)
    draw_frames(tmp_path / "drive", 20)
    plan = clip_plan()
    clips = ingest(tmp_path / "drive", within_budget(settings, plan))
    assert [clip.n_frames for clip in clips] == [13, 8], "13 frames of 11 classes are 143 masks"
    tasks = [clip.task_data for clip in clips]
    with scripted(lambda asked, handler: reply(handler, 200, b'{"model_version": "x"}', JSON)) as backend:
        where = {"backend_url": backend.url, "secret": "secret-of-the-test"}
        made = make_project(client, settings, "kill clips", plan, tasks, **where)
        assert make_project(client, settings, "kill clips", plan, tasks, **where).added == 0, "nothing twice"

    config = LabelConfig.parse(plan.xml)
    worker = queue_house.start_worker(frame_s=0.2)
    locator = FrameLocator(settings.media_root, label_studio.url, label_studio.token, tmp_path / "cache")
    enqueue = partial(queues.enqueue_clip, queue_house.ledger, queue_house.redis)
    labels = ClipLabels(locator, Notices(settings.ledger_path), lambda project: VERSION, enqueue, 10**6, 600)
    found = {int(t["id"]): t["data"] for t in client.tasks(made.project_id)}
    jobs = [labels.want(made.project_id, task, data, config).id for task, data in found.items()]
    queue_house.until_frames(jobs[0], 3)
    queue_house.kill(worker)
    queue_house.start_worker()
    delivered = lambda: [queue_house.ledger.job(job).delivery for job in jobs] == ["delivered"] * 2  # noqa: E731
    queue_house.until(delivered, limit_s=180)
    for task, data in found.items():
        [prediction] = client.predictions(task)
        assert prediction["model_version"] == VERSION
        wanted = {f"{name}_f{i:04d}" for name in ("sky", "road", "car") for i in range(len(data["frames"]))}
        assert {item["id"] for item in prediction["result"]} == wanted

    task = min(found)
    [prediction] = client.predictions(task)
    regions, refusals = read_masks(prediction["result"], config, 13, SIZE_HW)
    assert not refusals
    machine = queue_house.ledger.machine_digests(task)
    assert anchors(regions, machine) == []
    wider = {r.id: np.roll(r.mask, 1, axis=1) if r.id == "car_f0004" else r.mask for r in regions}
    [changed] = anchors([replace(r, mask=wider[r.id]) for r in regions], machine)
    assert (changed.object_id, changed.frame_index) == ("car", 4)
