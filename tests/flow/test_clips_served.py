"""Whole clips over HTTP: the server tells them from other projects and queues one job per clip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backends import registry
from backends.queues import WARM_QUEUES
from tests.predict_requests import SIZE_HW, batch, click, interactive, task
from tests.redis_server import RedisServer
from tests.served_house import WORKER, ServedHouse, serve_a_model

XML = Path("labelstudio_config/video_semantic.xml").read_text()


@pytest.fixture
def house(tmp_path: Path, redis_server: RedisServer) -> Iterator[ServedHouse]:
    house = ServedHouse(tmp_path, redis_server.url)
    yield house
    house.close()


def setup() -> dict[str, str]:
    return {"project": "16.1", "schema": XML, "hostname": "http://127.0.0.1:9", "access_token": ""}


def test_clips_become_one_job_each_of_the_served_version(house: ServedHouse, tmp_path: Path) -> None:
    house.ledger.register_worker(WORKER, WARM_QUEUES)  # alive, but it does nothing
    version = serve_a_model(house.settings.models_dir, tmp_path, "video_semantic")
    assert house.post("/setup", setup()).json()["model_version"] == version
    assert house.predict(batch(task(3, 6), task(4, 5), label_config=XML)) == [[], []]
    command = interactive(task(3, 6), [click("go", "Label clip", 2, 30, 20)], label_config=XML)
    assert house.predict(command) == [{"result": []}]
    jobs = sorted(house.ledger.jobs(), key=lambda job: job.task_id)
    assert [(job.task_id, job.total, job.kind, job.model_version) for job in jobs] == [
        (3, 6, "label_clip", version),
        (4, 5, "label_clip", version),
    ]
    assert {job.size_hw for job in jobs} == {SIZE_HW}
    assert "is being labelled" in house.told()
    assert house.predict(batch(task(5, 601), label_config=XML)) == [[]]
    assert "cut it into shorter ones" in house.told() and len(house.ledger.jobs()) == 2


def test_without_weights_the_project_can_be_connected_and_is_told(
    house: ServedHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "shipped"  # a release without weights for whole scenes
    shipped.mkdir()
    (shipped / "video_object").symlink_to(Path("backends/video_object").resolve())
    monkeypatch.setattr(registry, "_SHIPPED", shipped)
    house.ledger.register_worker(WORKER, WARM_QUEUES)
    assert house.post("/setup", setup()).json()["model_version"] == "video_semantic-none"
    assert house.predict(batch(task(3, 6), label_config=XML)) == [[]]
    assert house.ledger.jobs() == [] and "No weights for 'video_semantic'" in house.told()
