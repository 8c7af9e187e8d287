"""Fifty tagged pictures through the queue into the real Label Studio, with workers killed on the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from backends import queues
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.media import FrameLocator
from backends.labelstudio.regions import read_masks
from backends.labelstudio.tags import read_tags
from backends.notices import Notices
from backends.settings import from_env
from backends.tag_batches import Summary, TagBatches
from backends.tag_wishes import TagWishes
from tests.label_studio import LabelStudioServer
from tests.queue_house import SIZE_HW, QueueHouse, draw_frames
from tests.stand_in import VERSION
from tests.tag_requests import TAG_CONFIG, TAG_XML, choices

pytestmark = pytest.mark.labelstudio

N_PICTURES = 50


@dataclass(frozen=True)
class Place:
    """A project of tagged pictures in the real Label Studio."""

    client: LabelStudioClient
    project_id: int
    tasks: list[int]


def tagged_project(label_studio: LabelStudioServer, count: int) -> Place:
    """Every tenth picture has tags in its data, the others have them saved by a person."""
    client = LabelStudioClient(label_studio.url, label_studio.token, timeout_s=60)
    project = int(client.create_project("kill tags", TAG_XML, show_collab_predictions=False)["id"])
    folder = f"photos/p{project}"
    draw_frames(label_studio.media_root / folder, count)
    data = [{"image": f"/data/local-files/?d={folder}/{i:05d}.png"} for i in range(count)]
    tasks = client.import_tasks(
        project, [{"data": {**one, "tags": ["cat"]} if i % 10 == 0 else one} for i, one in enumerate(data)]
    )
    for number, task in enumerate(tasks):
        if number % 10:
            result = [choices("dog", *(["sheep"] if number % 2 else []))]
            client.connection.post(f"/api/tasks/{task}/annotations/", {"result": result})
    return Place(client, project, tasks)


@pytest.fixture
def batches(queue_house: QueueHouse, label_studio: LabelStudioServer) -> TagBatches:
    """What the console's button works with; the stand-in is the served version."""
    queue_house.env |= {
        "MASKLOOP_LABEL_STUDIO_URL": label_studio.url,
        "MASKLOOP_LABEL_STUDIO_TOKEN": label_studio.token,
        "MASKLOOP_MEDIA_ROOT": str(label_studio.media_root),
    }
    settings = from_env(queue_house.env)
    files = FrameLocator(settings.media_root, settings.label_studio_url, "", settings.data_dir / "cache")
    notices = Notices(settings.ledger_path)
    wishes = TagWishes(queue_house.ledger, notices, files, lambda project: VERSION, settings.max_image_pixels)
    enqueue = partial(queues.enqueue_pseudo_label, queue_house.ledger, queue_house.redis)
    return TagBatches(wishes, notices, enqueue)


def test_fifty_pictures_get_one_prediction_each_though_workers_are_killed(
    queue_house: QueueHouse, label_studio: LabelStudioServer, batches: TagBatches
) -> None:
    place = tagged_project(label_studio, N_PICTURES)
    worker = queue_house.start_worker(frame_s=0.05)
    summary = Summary()
    for wanted in batches.project(place.client, place.project_id):
        summary.add(wanted)
    assert (len(summary.jobs), summary.untagged, summary.refused) == (N_PICTURES, 0, 0)

    for share in (0.25, 0.5):  # in the middle of a picture, or of handing one over
        queue_house.until(lambda share=share: _delivered(queue_house) >= share * N_PICTURES)
        assert _delivered(queue_house) < N_PICTURES, "killed too late to mean anything"
        queue_house.kill(worker)
        worker = queue_house.start_worker(frame_s=0.05)
    assert len(list(batches.project(place.client, place.project_id))) == N_PICTURES, "asked again meanwhile"
    queue_house.until(lambda: _delivered(queue_house) == N_PICTURES, limit_s=180)

    assert {job.state for job in queue_house.ledger.jobs(limit=500)} == {"done"}
    predictions = {task: place.client.predictions(task) for task in place.tasks}
    assert Counter(len(found) for found in predictions.values()) == {1: N_PICTURES}
    for number, task in enumerate(place.tasks):
        [prediction] = predictions[task]
        wanted = {"cat"} if number % 10 == 0 else {"dog", "sheep"} if number % 2 else {"dog"}
        regions, refusals = read_masks(prediction["result"], TAG_CONFIG, 1, SIZE_HW)
        assert not refusals and {region.object_id for region in regions} == wanted
        assert set(read_tags(prediction["result"], TAG_CONFIG).names) == wanted
        scores = [item["score"] for item in prediction["result"] if "score" in item]
        assert prediction["model_version"] == VERSION
        assert prediction["score"] == pytest.approx(np.mean(scores), abs=1e-3)


def _delivered(house: QueueHouse) -> int:
    return sum(job.delivery == "delivered" for job in house.ledger.jobs(states=["done"], limit=500))


def test_one_bad_picture_does_not_stop_the_others(
    queue_house: QueueHouse, label_studio: LabelStudioServer, batches: TagBatches
) -> None:
    place = tagged_project(label_studio, 6)
    queue_house.start_worker()
    paths = sorted((label_studio.media_root / "photos" / f"p{place.project_id}").glob("*.png"))
    _cut_in_half(paths[1])  # its header is whole, so only the worker finds out
    paths[2].write_bytes(b"no picture")
    summary = Summary()
    for wanted in batches.project(place.client, place.project_id):
        summary.add(wanted)
    assert (len(summary.jobs), summary.refused) == (5, 1)
    queue_house.until(lambda: all(row.is_over for row in queue_house.ledger.jobs(limit=500)), limit_s=180)
    [failed] = queue_house.ledger.jobs(states=["failed"])
    assert failed.task_id == place.tasks[1] and "cannot be decoded" in failed.error
    told = {notice.task_id: notice.text for notice in batches.notices.recent(200) if notice.level == "error"}
    assert set(told) == {place.tasks[1], place.tasks[2]}
    queue_house.until(lambda: _delivered(queue_house) == 4, limit_s=180)


def _cut_in_half(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
