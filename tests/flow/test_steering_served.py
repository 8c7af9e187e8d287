"""The buttons of a project's page over HTTP: what they do answers the next request of Label Studio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from backends.loop.files import write_json
from backends.loop.folder import ProjectFolder
from backends.queues import IMPROVE, TRAIN
from backends.registry import Registry
from tests.predict_requests import LABEL_CONFIG
from tests.redis_server import RedisServer
from tests.served_house import ServedHouse

PROJECT, OTHER = 16, 17


@pytest.fixture
def house(tmp_path: Path, redis_server: RedisServer) -> Iterator[ServedHouse]:
    house = ServedHouse(tmp_path, redis_server.url)
    house.label_studio.documents[f"/api/projects/{PROJECT}/"] = {"id": PROJECT, "label_config": LABEL_CONFIG}
    yield house
    house.close()


def press(house: ServedHouse, action: str, body: Any = None) -> requests.Response:
    with house.console() as browser:
        return browser.post(f"{house.url}/console/projects/{PROJECT}/{action}", json=body, timeout=30)


def answers(house: ServedHouse, project: int) -> str:
    told = house.post("/setup", {"project": f"{project}.1", "schema": LABEL_CONFIG}).json()
    return str(told["model_version"])


def waiting(house: ServedHouse) -> str:
    """A candidate that was accepted and waits; its version."""
    weights = house.settings.data_dir / "candidate.safetensors"
    weights.write_bytes(b"better by some points")
    candidate = Registry(house.settings.models_dir).add("video_object", weights).version
    run = ProjectFolder(house.settings.data_dir, PROJECT).runs / "0001-aa"
    told = {"algorithm": "video_object", "candidate": candidate, "served": house.version}
    write_json(run / "cycle.json", {**told, "outcome": "waiting", "accepted": True})
    return candidate


def test_promote_and_roll_back_answer_the_next_request(house: ServedHouse) -> None:
    candidate = waiting(house)
    assert answers(house, PROJECT) == house.version
    said = press(house, "promote", {"run": "0001-aa"})
    assert said.status_code == 200 and said.json()["message"].startswith(
        f"{candidate} is served to this project"
    )
    assert (answers(house, PROJECT), answers(house, OTHER)) == (candidate, house.version)
    again = press(house, "promote", {"run": "0001-aa"})
    assert (again.status_code, again.json()["error"]) == (422, "run 0001-aa waits for nobody: it is promoted")
    assert press(house, "roll-back").status_code == 200
    assert answers(house, PROJECT) == house.version


def test_refuse_leaves_what_is_served(house: ServedHouse) -> None:
    waiting(house)
    assert press(house, "decline", {"run": "0001-aa"}).status_code == 200
    assert answers(house, PROJECT) == house.version
    assert press(house, "roll-back").status_code == 422


def test_improve_now_wants_a_training_worker_and_is_one_job(house: ServedHouse) -> None:
    refused = press(house, "improve")
    assert refused.status_code == 503 and "maskloop worker --train" in refused.json()["error"]
    assert house.ledger.jobs() == []
    house.ledger.register_worker("a-trainer", (TRAIN,))
    for _ in range(2):
        assert press(house, "improve").json()["message"].startswith("Queued")
    (row,) = house.ledger.project_jobs(IMPROVE, PROJECT)
    with house.console() as browser:
        state = browser.get(f"{house.url}/console/state", timeout=30).json()
        (job,) = state["jobs"]
        assert (job["where"], job["unit"], job["state"]) == (f"project {PROJECT}", "steps", "queued")
        cancelled = browser.post(f"{house.url}/console/jobs/{row.id}/cancel", timeout=30).json()
        assert cancelled == {"message": "Cancelled."}
        retried = browser.post(f"{house.url}/console/jobs/{row.id}/retry", timeout=30).json()
        assert retried == {"message": "Queued again; it goes on after 0 of 5 steps."}
