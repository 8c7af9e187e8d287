"""Who gets in, what leaves, and what a program's mistake looks like from outside."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backends.core.errors import BadInput, NoWorker, SetupFault
from backends.export_shelf import ExportShelf
from backends.gate import Counters, Gate
from backends.ledger import Ledger
from backends.notices import Event, Notices
from backends.server import Parts, create_app
from backends.settings import Settings

SECRET = "a-secret-for-tests-0123456789"
AUTH = {"X-MaskLoop-Secret": SECRET}


class StubPredictor:
    """Answers at once, or waits at a barrier, or fails in a way nobody foresaw."""

    def __init__(self) -> None:
        self.wait: threading.Event | None = None
        self.entered = threading.Semaphore(0)

    def answer(self, payload: dict[str, Any]) -> list[Any]:
        self.entered.release()
        if self.wait is not None:
            assert self.wait.wait(30)
        if payload.get("explode"):
            raise RuntimeError("canary-in-a-traceback")
        if payload.get("nan"):
            return [{"result": [], "score": float("nan")}]
        return [{"result": []} for _ in payload.get("tasks", [])]


class StubBoard:
    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def state(self) -> dict[str, Any]:
        return {"jobs": [], "notices": []}

    def tasks(self) -> dict[str, Any]:
        return {"tasks": []}

    def cancel(self, job_id: str) -> str:
        self.asked.append(("cancel", job_id))
        return "stopping"

    def retry(self, job_id: str) -> str:
        raise NoWorker("no worker is running: start one with `maskloop up`")

    def propagate(self, task_id: int) -> str:
        self.asked.append(("propagate", task_id))
        return "queued"

    def make_masks(self, project_id: int) -> str:
        self.asked.append(("make masks", project_id))
        return "reading"

    def clear_notices(self) -> str:
        return "cleared"

    def gauges(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        return {"maskloop_jobs": [({"state": "done"}, 3)]}


class StubProjects:
    """One project, number 3, with a report and a picture."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, Any]] = []

    def state(self, project_id: int) -> dict[str, Any]:
        return {"project": {"id": project_id}}

    def report(self, project_id: int) -> dict[str, Any]:
        if project_id != 3:
            raise BadInput(f"project {project_id} has no report yet; press Refresh")
        return {"format": 1}

    def example(self, project_id: int, run: str, name: str) -> Path:
        self.asked.append(("example", (project_id, run, name)))
        return self.folder / name

    def refresh(self, project_id: int) -> str:
        self.asked.append(("refresh", project_id))
        return "making it"


class StubSteering:
    """Hears webhooks as well: both are what follows of the loop."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.events: list[Event] = []

    def heard(self, event: Event) -> None:
        self.events.append(event)

    def start(self) -> None:
        raise AssertionError("the server's thread is started by main() alone")

    def improve(self, project_id: int) -> str:
        self.asked.append(("improve", project_id))
        return "queued"

    def promote(self, project_id: int, run: str) -> str:
        self.asked.append(("promote", project_id, run))
        return "served"

    def decline(self, project_id: int, run: str) -> str:
        self.asked.append(("decline", project_id, run))
        return "left"

    def roll_back(self, project_id: int) -> str:
        self.asked.append(("roll back", project_id))
        return "served again"

    def set_policy(self, project_id: int, values: Mapping[str, Any]) -> str:
        self.asked.append(("policy", project_id, dict(values)))
        return "saved"


class StubClips:
    """One clip of two frames, its job is all 1."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    def clip(self, job_id: str) -> dict[str, Any]:
        if job_id != "1" * 40:
            raise BadInput(f"no job {job_id!r} in the ledger")
        return {"id": job_id}

    def frame(self, job_id: str, index: int) -> bytes:
        self.asked.append(("frame", (job_id, index)))
        return b"\xff\xd8jpeg"

    def labels(self, job_id: str, index: int) -> bytes:
        self.asked.append(("labels", (job_id, index)))
        return b"\x89PNG"

    def measure(self, job_id: str) -> str:
        self.asked.append(("measure", job_id))
        return "asked"


class House:
    """The app with stubs behind it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.predictor, self.board, self.projects = StubPredictor(), StubBoard(), StubProjects(folder)
        self.clips, self.ledger = StubClips(), Ledger(folder / "jobs.sqlite3")
        self.steering = StubSteering()
        self.notices = Notices(folder / "ledger.sqlite3")
        self.gate = Gate(2)
        self.version: str | None = "video_object-1a2b3c4d"
        settings = {"secret": SECRET, **settings}
        self.app: Flask = create_app(
            Parts(
                Settings(data_dir=folder, **settings),
                self.predictor,
                self.board,
                self.projects,
                self.clips,
                self.board,
                self.notices,
                self._served,
                lambda: {"versions": [self._served()], "served": self._served()},
                self.gate,
                Counters(),
                lambda body: None,
                ExportShelf(folder, lambda request: self.ledger.want_alone(request.wanted())),
                self.steering,
                self.steering,
            )
        )
        self.http: FlaskClient = self.app.test_client()

    def _served(self, schema: str = "", project: int = 0) -> str:
        self.asked_for = project
        if self.version is None:
            raise SetupFault("no model is served: run `maskloop train video_object`")
        return self.version


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    yield House(tmp_path)


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


PROGRAM_ROUTES = [
    ("POST", "/setup"),
    ("POST", "/predict"),
    ("POST", "/webhook"),
    ("GET", "/versions"),
    ("GET", "/metrics"),
    ("GET", "/no-such-route"),
]
WRONG = [
    {},
    {"X-MaskLoop-Secret": ""},
    {"X-MaskLoop-Secret": SECRET[:-1]},
    {"X-MaskLoop-Secret": SECRET + "x"},
    basic("maskloop", "wrong"),
    basic("someone", SECRET),
    {"Authorization": "Basic"},
    {"Authorization": "Basic ////"},
    {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode()},
    {"Authorization": "Basic bm9jb2xvbg=="},
    {"Authorization": f"Bearer {SECRET}"},
]


@pytest.mark.parametrize(("method", "route"), PROGRAM_ROUTES)
@pytest.mark.parametrize("headers", WRONG, ids=range(len(WRONG)))
def test_every_program_route_wants_the_secret(
    house: House, method: str, route: str, headers: dict[str, str]
) -> None:
    answer = house.http.open(route, method=method, headers=headers, json={} if method == "POST" else None)
    assert answer.status_code == 401
    assert SECRET not in answer.text


@pytest.mark.parametrize("headers", [AUTH, basic("maskloop", SECRET)], ids=["header", "basic"])
def test_both_ways_to_give_the_secret_work(house: House, headers: dict[str, str]) -> None:
    answer = house.http.post("/setup", json={"project": "1.2"}, headers=headers)
    assert (answer.status_code, answer.json) == (200, {"model_version": "video_object-1a2b3c4d"})


@pytest.mark.parametrize(
    ("project", "number"), [("7.1795331125", 7), ("7", 7), (7, 7), (None, 0), ("", 0)], ids=repr
)
def test_setup_asks_for_the_version_of_the_project(house: House, project: Any, number: int) -> None:
    assert house.http.post("/setup", json={"project": project}, headers=AUTH).status_code == 200
    assert house.asked_for == number


@pytest.mark.parametrize("body", [{"project": "seven"}, {"project": [7]}, {"project": "-7"}], ids=repr)
def test_setup_for_no_project_at_all_is_refused(house: House, body: Any) -> None:
    answer = house.http.post("/setup", json=body, headers=AUTH)
    assert answer.status_code == 422 and "project wants a number" in answer.json["error"]


def test_health_is_open_and_says_up(house: House) -> None:
    answer = house.http.get("/health")
    assert (answer.status_code, answer.json) == (200, {"status": "UP"})


def test_setup_says_what_is_missing_when_no_model_is_served(house: House) -> None:
    house.version = None
    answer = house.http.post("/setup", json={}, headers=AUTH)
    assert answer.status_code == 503
    assert "maskloop train" in answer.json["error"]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5"])
def test_a_short_secret_is_refused_on_an_open_address(tmp_path: Path, host: str) -> None:
    with pytest.raises(SetupFault, match="at least 16"):
        House(tmp_path, host=host, secret="short")
    House(tmp_path, host=host, secret="0123456789abcdef")


def test_without_any_secret_nothing_starts(tmp_path: Path) -> None:
    with pytest.raises(SetupFault, match="no secret"):
        House(tmp_path, secret="")


@pytest.mark.parametrize("route", ["/health", "/setup", "/nowhere", "/console", "/console/static/console.js"])
def test_every_answer_carries_the_guarding_headers(house: House, route: str) -> None:
    headers = house.http.get(route).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 422), (b"not json", 422), (b"[1]", 422), (b"\xff", 422), (b"[" * 200_000, 422), (b"{}", 200)],
    ids=["empty", "words", "list", "bytes", "deep", "object"],
)
def test_a_body_that_is_no_json_object_is_refused(house: House, body: bytes, status: int) -> None:
    assert house.http.post("/predict", data=body, headers=AUTH).status_code == status


def test_a_body_beyond_the_limit_is_refused_and_people_are_told(house: House) -> None:
    answer = house.http.post("/predict", data=b" " * (33 * 2**20), headers=AUTH)
    assert answer.status_code == 413
    assert "32 MB" in house.notices.recent()[0].text


def test_an_unforeseen_error_shows_a_number_and_no_traceback(house: House) -> None:
    answer = house.http.post("/predict", json={"explode": True}, headers=AUTH)
    assert answer.status_code == 500
    assert set(answer.json) == {"error", "id"}
    assert "canary" not in answer.text and "Traceback" not in answer.text
    assert answer.json["id"] in house.notices.recent()[0].text


def test_an_answer_with_nan_is_an_error_and_not_invalid_json(house: House) -> None:
    assert house.http.post("/predict", json={"nan": True}, headers=AUTH).status_code == 500


def test_past_the_limit_requests_are_turned_away_at_once_while_health_answers(house: House) -> None:
    house.predictor.wait = threading.Event()
    waiting = [
        threading.Thread(
            target=lambda: house.app.test_client().post("/predict", json={"tasks": []}, headers=AUTH)
        )
        for _ in range(2)
    ]
    for thread in waiting:
        thread.start()
        assert house.predictor.entered.acquire(timeout=30)
    try:
        began = time.monotonic()
        refused = house.http.post("/predict", json={"tasks": []}, headers=AUTH)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert house.http.get("/health").status_code == 200
        assert house.http.post("/setup", json={}, headers=AUTH).status_code == 200
        assert time.monotonic() - began < 5
        assert "turned away" in house.notices.recent()[0].text
    finally:
        house.predictor.wait.set()
        for thread in waiting:
            thread.join(30)
    house.predictor.wait = None
    assert house.http.post("/predict", json={"tasks": []}, headers=AUTH).status_code == 200


CREATED = {
    "action": "ANNOTATION_CREATED",
    "annotation": {"id": 6, "result": []},
    "task": {"id": 20, "data": {}},
    "project": {"id": 16},
}


def test_a_webhook_is_recorded_quickly(house: House) -> None:
    house.http.post("/webhook", json=CREATED, headers=AUTH)  # makes the tables
    began = time.monotonic()
    answer = house.http.post("/webhook", json=CREATED, headers=AUTH)
    assert answer.status_code == 202
    assert time.monotonic() - began < 0.5  # the promise is 0.1 s; a shared machine may stutter
    event = house.notices.events()[0]
    assert (event.action, event.project_id, event.task_id, event.annotation_id) == (
        "ANNOTATION_CREATED",
        16,
        20,
        6,
    )


@pytest.mark.parametrize("action", ["START_TRAINING", "ANNOTATION_UPDATED"])
def test_a_webhook_is_passed_on_to_who_looks_at_projects(house: House, action: str) -> None:
    answer = house.http.post("/webhook", json={"action": action, "project": {"id": 3}}, headers=AUTH)
    assert answer.status_code == 202
    assert [(event.action, event.project_id) for event in house.steering.events] == [(action, 3)]


@pytest.mark.parametrize(
    "payload",
    [{}, {"action": 3}, {"action": ""}, {"action": "x" * 65}, {"action": "ÄNDERUNG"}, {"action": ["A"]}],
    ids=str,
)
def test_a_webhook_without_a_sensible_action_is_refused(house: House, payload: dict[str, Any]) -> None:
    assert house.http.post("/webhook", json=payload, headers=AUTH).status_code == 422


@pytest.mark.parametrize("junk", [None, 7, [], {}, {"id": "7"}, {"id": -1}, {"id": 2**70}, {"id": True}])
def test_odd_ids_in_a_webhook_are_left_out(house: House, junk: Any) -> None:
    payload = {"action": "TASKS_DELETED", "task": junk, "project": junk, "annotation": junk}
    assert house.http.post("/webhook", json=payload, headers=AUTH).status_code == 202
    assert house.notices.events()[0].task_id is None


def test_a_webhook_that_cannot_be_recorded_is_not_acknowledged(house: House) -> None:
    (house.notices._path).mkdir()  # a folder where the file should be
    assert house.http.post("/webhook", json=CREATED, headers=AUTH).status_code == 503


def test_versions_and_metrics(house: House) -> None:
    versions = house.http.get("/versions", headers=AUTH).json
    assert versions["versions"] == ["video_object-1a2b3c4d"]
    house.http.get("/health")
    text = house.http.get("/metrics", headers=AUTH).text
    assert 'maskloop_requests_total{route="health",status="200"} 1' in text
    assert 'maskloop_jobs{state="done"} 3' in text
    assert "maskloop_predict_inside 0" in text


def test_json_is_compact_and_keeps_unicode_readable(house: House) -> None:
    answer = house.http.post("/predict", json={"tasks": [{}, {}]}, headers=AUTH)
    assert json.loads(answer.text) == {"results": [{"result": []}, {"result": []}]}
    assert ": " not in answer.text
