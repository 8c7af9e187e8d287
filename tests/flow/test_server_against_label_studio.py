"""The backend behind a running Label Studio 1.23.2: what it sends is answered, what is answered it keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.regions import region_id
from backends.registry import Registry
from tests.label_studio import LabelStudioServer
from tests.predict_requests import LABEL_CONFIG, brush, click, disc, frame_refs
from tests.redis_server import RedisServer
from tests.served_house import SECRET, ServedHouse, wait_until, write_clip

pytestmark = pytest.mark.labelstudio

N_FRAMES = 6
PAINTED = brush("hand-made", "object 1", 0, disc(20, 24))


class Connected:
    """A project with our backend connected, and two tasks."""

    def __init__(self, house: ServedHouse, label_studio: LabelStudioServer) -> None:
        self.house = house
        self.client = LabelStudioClient(label_studio.url, label_studio.token)
        self.project = int(self.client.create_project("server test", LABEL_CONFIG)["id"])
        clip = f"clips/server-{self.project}"
        write_clip(label_studio.media_root / clip, N_FRAMES)
        self.client.put_local_storage(self.project, str(label_studio.media_root / "clips"))
        clips = [{"frames": frame_refs(N_FRAMES, clip), "clip": f"bus-{number:03d}"} for number in (0, 1)]
        self.tasks = self.client.import_tasks(self.project, [{"data": data} for data in clips])
        backend = self.client.put_ml_backend(
            self.project, house.url, title="MaskLoop", user="maskloop", password=SECRET
        )
        self.backend = int(backend["id"])

    def annotate(self, *results: dict[str, Any]) -> None:
        self.client.connection.post(f"/api/tasks/{self.tasks[0]}/annotations/", {"result": list(results)})

    def retrieve_predictions(self) -> None:
        self.client.connection.post(
            "/api/dm/actions",
            {"selectedItems": {"all": True, "excluded": []}},
            {"id": "retrieve_tasks_predictions", "project": self.project},
        )

    def gesture(self, *context: dict[str, Any]) -> list[dict[str, Any]]:
        """What the editor does on a smart click."""
        answer = self.client.connection.post(
            f"/api/ml/{self.backend}/interactive-annotating",
            {"task": self.tasks[0], "context": {"result": list(context)}},
        )
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result


@pytest.fixture
def connected(
    tmp_path: Path, redis_server: RedisServer, label_studio: LabelStudioServer
) -> Iterator[Connected]:
    house = ServedHouse(
        tmp_path,
        redis_server.url,
        label_studio_url=label_studio.url,
        label_studio_token=label_studio.token,
        media_root=label_studio.media_root,
    )
    yield Connected(house, label_studio)
    house.close()


def test_retrieving_predictions_leaves_no_empty_ones_and_asks_again(connected: Connected) -> None:
    """An empty prediction would open as an empty annotation and stop Label Studio from asking again."""
    house, task = connected.house, connected.tasks[0]
    house.worker.go.clear()
    house.worker.start()
    connected.annotate(PAINTED)
    connected.retrieve_predictions()
    assert [job.task_id for job in house.ledger.jobs()] == [task]
    assert [connected.client.predictions(number) for number in connected.tasks] == [[], []]
    house.worker.go.set()
    job = wait_until(lambda: house.ledger.jobs(states=["done"]), "the job")[0]
    house.ledger.note_delivery(job.id, "delivered")
    connected.retrieve_predictions()
    [kept] = connected.client.predictions(task)
    assert kept["model_version"] == house.version
    assert {result["id"] for result in kept["result"]} == {
        region_id("object 1", frame) for frame in range(N_FRAMES)
    }


def test_a_version_for_this_project_alone_reaches_it_and_is_taken_back(connected: Connected) -> None:
    house, task = connected.house, connected.tasks[0]
    house.worker.start()
    connected.annotate(PAINTED)

    def versions_after_retrieving() -> set[str]:
        connected.retrieve_predictions()
        wait_until(lambda: not house.ledger.jobs(states=["queued", "running"]), "the jobs")
        for job in house.ledger.jobs(states=["done"]):
            house.ledger.note_delivery(job.id, "delivered")
        connected.retrieve_predictions()
        return {kept["model_version"] for kept in connected.client.predictions(task)}

    def told() -> str:
        return str(connected.client.connection.get(f"/api/ml/{connected.backend}")["model_version"])

    assert versions_after_retrieving() == {house.version}
    registry = Registry(house.settings.models_dir)
    (house.settings.data_dir / "own.safetensors").write_bytes(b"of this project")
    own = registry.add("video_object", house.settings.data_dir / "own.safetensors").version
    registry.promote("video_object", own, connected.project + 1)
    assert versions_after_retrieving() == {house.version} and told() == house.version
    registry.promote("video_object", own, connected.project)
    assert versions_after_retrieving() == {house.version, own} and told() == own
    registry.roll_back("video_object", connected.project)
    assert len(versions_after_retrieving()) == 2 and told() == house.version
    assert len(house.ledger.jobs()) == 2, "what this version gave before is there already"


def test_opening_an_unpainted_task_is_quick_and_leaves_nothing(connected: Connected) -> None:
    connected.client.patch_project(connected.project, show_collab_predictions=True)
    assert connected.client.task(connected.tasks[0])["predictions"] == []
    assert connected.house.told() == ""


def test_a_gesture_travels_through_label_studio(connected: Connected) -> None:
    connected.house.worker.start()
    command = click("Tr1gger", "Propagate", 0, 20, 24)
    connected.client.connection.post(
        f"/api/tasks/{connected.tasks[0]}/drafts", {"result": [PAINTED, command], "lead_time": 1}
    )
    regions = connected.gesture(command)
    assert sorted(region["id"] for region in regions) == [
        region_id("object 1", frame) for frame in range(1, N_FRAMES)
    ]
    assert connected.gesture() == [], "the empty context after Submit"
    clicked = connected.gesture(click("c", "object 2", 3, 46, 14))
    assert [region["id"] for region in clicked] == [region_id("object 2", 3)]


def test_the_console_lists_and_propagates_real_tasks(connected: Connected) -> None:
    connected.house.worker.start()
    connected.annotate(PAINTED)
    connected.client.connection.post(
        f"/api/tasks/{connected.tasks[1]}/drafts", {"result": [PAINTED], "lead_time": 1}
    )
    console = connected.house.console()
    listing = console.get(f"{connected.house.url}/console/tasks", timeout=60).json()
    mine = {row["id"]: row for row in listing["tasks"] if row["id"] in connected.tasks}
    assert {number: (row["clip"], row["frames"], row["masks"]) for number, row in mine.items()} == {
        connected.tasks[0]: ("bus-000", N_FRAMES, "submitted"),
        connected.tasks[1]: ("bus-001", N_FRAMES, "draft"),
    }
    said = console.post(f"{connected.house.url}/console/tasks/{connected.tasks[0]}/propagate", timeout=60)
    assert "1 painted mask over 6 frames" in said.json()["message"]
    wait_until(lambda: connected.house.ledger.jobs(states=["done"]), "the job")


def test_submitting_a_clip_starts_the_next_one(connected: Connected) -> None:
    house = connected.house
    house.worker.start()
    connected.client.put_webhook(
        connected.project, f"{house.url}/webhook", headers={"X-MaskLoop-Secret": SECRET}
    )
    connected.annotate(PAINTED, brush("last-page", "object 1", N_FRAMES - 1, disc(30, 20)))
    [job] = wait_until(lambda: house.ledger.jobs(states=["done"]), "the next clip's job")
    assert job.task_id == connected.tasks[1]
    [anchor] = house.ledger.anchors(job.id)
    assert (anchor.object_id, anchor.frame_index) == ("object 1", 0)
    assert np.array_equal(anchor.mask, disc(30, 20))
    wait_until(lambda: "bus-001 starts with the masks" in house.told(), "the notice")


def test_webhooks_of_label_studio_are_recorded(connected: Connected) -> None:
    connected.client.put_webhook(
        connected.project, f"{connected.house.url}/webhook", headers={"X-MaskLoop-Secret": SECRET}
    )
    connected.annotate(PAINTED)
    events = wait_until(connected.house.notices.events, "the delivery")
    assert (events[0].action, events[0].project_id, events[0].task_id) == (
        "ANNOTATION_CREATED",
        connected.project,
        connected.tasks[0],
    )
