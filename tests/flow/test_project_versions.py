"""A project with a version of its own is answered by it everywhere, and the others as before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient
from safetensors.torch import load_file, save_file

from backends import wsgi
from backends.catalogue import ALGORITHMS
from backends.ledger import JobRow
from backends.registry import Registry
from pipelines.propagate import propagate
from pipelines.tag_commands import _batches
from pipelines.working.collaborators import build
from tests import tag_requests as tags
from tests.predict_requests import (
    LABEL_CONFIG,
    annotation,
    batch,
    brush,
    click,
    disc,
    draft,
    interactive,
    task,
)
from tests.queue_house import ROOT, QueueHouse, same_frames
from tests.redis_server import RedisServer
from tests.served_house import SECRET, ServedHouse, wait_until, write_clip

OWN, OTHER = 7, 16
"""The project with a version of its own, and one without."""

PLAIN = {"MASKLOOP_SECRET": SECRET, "MASKLOOP_THREADS": "1", "MASKLOOP_ENGINE": "torch"}
"""No graphs are made of networks that see three frames each."""

PAINTED = brush("hand", "object 1", 0, disc(20, 24))


@pytest.fixture
def house(tmp_path: Path, redis_server: RedisServer) -> Iterator[ServedHouse]:
    house = ServedHouse(tmp_path, redis_server.url)
    house.worker.start()
    yield house
    house.close()


def give(house: ServedHouse, project: int, algorithm: str = "video_object") -> str:
    """A version for one project (0: for all), whose weights nobody loads here."""
    weights = house.settings.data_dir / "given.safetensors"
    weights.write_bytes(f"{algorithm} of project {project}".encode())
    registry = Registry(house.settings.models_dir)
    return registry.promote(algorithm, registry.add(algorithm, weights).version, project).version


def newest_job(house: ServedHouse) -> JobRow:
    return house.ledger.jobs(limit=1)[0]


def in_project(number: int) -> dict[str, str]:
    return {"project": f"{number}.1795331125"}


def test_gestures_batches_and_setup_answer_with_the_projects_version(house: ServedHouse) -> None:
    versions = {OWN: give(house, OWN), OTHER: house.version}
    for number, (project, version) in enumerate(versions.items()):
        setup = {**in_project(project), "schema": LABEL_CONFIG}
        assert house.post("/setup", setup).json() == {"model_version": version}
        pressed = click("now", "Propagate", 0, 20, 24)
        gesture = interactive(
            task(20 + number, 6, drafts=[draft(PAINTED, pressed)]), [pressed], **in_project(project)
        )
        assert len(house.predict(gesture)[0]["result"]) == 5
        assert newest_job(house).model_version == version
        many = batch(task(30 + number, 6, annotations=[annotation(PAINTED)]), **in_project(project))
        house.predict(many)
        asked = newest_job(house)
        assert (asked.task_id, asked.model_version) == (30 + number, version)
    headers = {"X-MaskLoop-Secret": SECRET}
    listed = requests.get(f"{house.url}/versions", headers=headers, timeout=30).json()
    assert listed["served"] == house.version and listed["projects"] == {str(OWN): [versions[OWN]]}
    assert set(versions.values()) <= set(listed["versions"])


def listed_project(house: ServedHouse, number: int, config: str, *tasks: dict[str, Any]) -> None:
    """Label Studio tells of one project and its tasks."""
    project = {"id": number, "title": f"Project {number}", "label_config": config}
    house.label_studio.documents |= {
        "/api/projects/": {"results": [project]},
        f"/api/projects/{number}/": project,
        "/api/tasks/": {"tasks": list(tasks), "total": len(tasks)},
    }
    for one in tasks:
        house.label_studio.documents |= {
            f"/api/tasks/{one['id']}/": one,
            f"/api/tasks/{one['id']}/annotations/": one["annotations"],
            f"/api/tasks/{one['id']}/drafts": one["drafts"],
        }


def test_the_consoles_propagate_takes_the_projects_version(house: ServedHouse) -> None:
    own = give(house, OWN)
    one = task(1, 6, project=OWN, annotations=[annotation(PAINTED)], drafts=[], is_labeled=True)
    listed_project(house, OWN, LABEL_CONFIG, one)
    console = house.console()
    assert console.post(f"{house.url}/console/tasks/1/propagate", timeout=30).ok
    assert (newest_job(house).task_id, newest_job(house).model_version) == (1, own)
    shown = console.get(f"{house.url}/console/state", timeout=30).json()["model"]
    assert shown == {
        "error": "",
        "version": house.version,
        "own": [{"project": OWN, "versions": [own]}],
    }


def test_masks_from_tags_take_the_projects_version(house: ServedHouse) -> None:
    for_all, own = give(house, 0, "weak_shot"), give(house, OWN, "weak_shot")
    tags.write_picture(house.settings.media_root / "photos" / "a.png")
    for number, (project, version) in enumerate({OWN: own, OTHER: for_all}.items()):
        one = tags.picture_task(20 + number, drafts=[tags.draft(tags.choices("dog"), tags.make_masks())])
        house.predict({**tags.interactive(one, [tags.make_masks()]), **in_project(project)})
        assert newest_job(house).model_version == version
        setup = {**in_project(project), "schema": tags.TAG_XML}
        assert house.post("/setup", setup).json() == {"model_version": version}
        assert _batches(house.settings, house.ledger).wishes.served(project) == version

    tagged = {**tags.picture_task(5, annotations=[tags.annotation(tags.choices("dog"))]), "drafts": []}
    listed_project(house, OWN, tags.TAG_XML, {**tagged, "is_labeled": True})
    assert house.console().post(f"{house.url}/console/projects/{OWN}/make-masks", timeout=30).ok
    [job] = wait_until(lambda: [row for row in house.ledger.jobs() if row.task_id == 5], "the picture's job")
    assert job.model_version == own


# a real worker


def changed_weights(path: Path, shipped: Path, seed: int) -> Path:
    """The shipped network with its last layers shaken: other masks, the same shapes."""
    import torch
    from safetensors import safe_open

    with safe_open(str(shipped), "pt") as file:
        metadata = file.metadata()
    noise = torch.Generator().manual_seed(seed)
    tensors = {
        name: tensor * (1 + 0.2 * torch.randn(tensor.shape, generator=noise)).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in load_file(shipped).items()
    }
    save_file(tensors, path, metadata=metadata)
    return path


class Asked:
    """A server over a QueueHouse's ledger, and its one worker with real models."""

    def __init__(self, house: QueueHouse) -> None:
        self.house = house
        self.registry = Registry(house.settings.models_dir)
        self.http: FlaskClient = wsgi.build(house.settings).test_client()
        env = os.environ | house.env | {"MASKLOOP_THREADS": "1"}
        command = [sys.executable, "-m", "pipelines.worker"]
        self.worker = subprocess.Popen(command, env=env, cwd=ROOT)
        house.workers.append(self.worker)
        write_clip(house.settings.media_root / "clips" / "bus", 3)
        house.until(lambda: any(w.state == "idle" for w in house.ledger.workers()))

    def add(self, seed: int) -> str:
        shipped = self.registry.shipped("video_object").weights
        weights = changed_weights(self.house.settings.data_dir / f"{seed}.safetensors", shipped, seed)
        return self.registry.add("video_object", weights).version

    @contextmanager
    def busy_elsewhere(self) -> Iterator[None]:
        """The worker takes nothing up."""
        self.worker.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.worker.send_signal(signal.SIGCONT)

    def console(self) -> FlaskClient:
        """A browser that is logged in."""
        browser = self.http.application.test_client()
        browser.get("/console/login", query_string={"key": SECRET})
        page = browser.get("/console", follow_redirects=True).text
        token = page.split('name="csrf" content="')[1].split('"')[0]
        browser.environ_base["HTTP_X_CSRF_TOKEN"] = token
        return browser

    def predict(self, project: int, number: int) -> JobRow:
        """Retrieve predictions of one task; the job when it is over."""
        return self.house.until_state(self.request(project, number).id, "done", "failed")

    def request(self, project: int, number: int) -> JobRow:
        """Ask for predictions of one task; the job as it is then."""
        body = batch(task(number, 3, annotations=[annotation(PAINTED)]), **in_project(project))
        answer = self.http.post("/predict", json=body, headers={"X-MaskLoop-Secret": SECRET})
        assert answer.status_code == 200
        job = self.house.ledger.jobs(limit=1)[0]
        assert job.task_id == number
        return job

    def is_of(self, job: JobRow, version: str) -> bool:
        """Its masks are what this version's weights give, and none of another's."""
        work = build(self.house.settings, self.house.ledger, "nobody")
        model = ALGORITHMS["video_object"].load(
            self.registry.find("video_object", version).weights, self.house.settings, version
        )
        made = list(propagate(model, work.clip(job), self.house.ledger.anchors(job.id)))
        return same_frames(made, self.house.ledger.frames(job.id))


def test_the_next_request_after_a_promotion_is_answered_by_it_without_a_restart(
    redis_server: RedisServer,
) -> None:
    house = QueueHouse(redis_server.folder / "data", redis_server, **PLAIN)
    try:
        asked = Asked(house)
        shipped = asked.registry.served("video_object").version
        one, two = asked.add(1), asked.add(2)

        before = asked.predict(OWN, 1)
        asked.registry.promote("video_object", one, OWN)
        after, other = asked.predict(OWN, 2), asked.predict(OTHER, 3)
        assert [job.model_version for job in (before, after, other)] == [shipped, one, shipped]
        assert asked.is_of(after, one) and not asked.is_of(after, shipped) and asked.is_of(other, shipped)

        asked.registry.promote("video_object", two, OWN)
        assert asked.predict(OWN, 4).model_version == two
        assert asked.registry.roll_back("video_object", OWN).version == one
        back = asked.predict(OWN, 5)
        assert back.model_version == one and asked.is_of(back, one)
        assert asked.registry.roll_back("video_object", OWN).version == shipped
        assert asked.predict(OWN, 6).model_version == shipped
        assert {job.state for job in house.ledger.jobs()} == {"done"}
        assert asked.worker.poll() is None and [w.pid for w in house.ledger.workers()] == [asked.worker.pid]
    finally:
        house.close()


def test_what_waits_through_a_promotion_is_done_and_what_was_taken_back_is_asked_anew(
    redis_server: RedisServer,
) -> None:
    house = QueueHouse(redis_server.folder / "data", redis_server, **PLAIN)
    try:
        asked = Asked(house)
        one, two = asked.add(1), asked.add(2)
        asked.registry.promote("video_object", one, OWN)
        with asked.busy_elsewhere():
            waits = asked.request(OWN, 1)
            asked.registry.promote("video_object", two, OWN)
        assert house.until_state(waits.id, "done", "failed").state == "done"
        assert asked.is_of(house.ledger.job(waits.id), one), "made with what was asked for"

        with asked.busy_elsewhere():
            waits = asked.request(OWN, 2)
            assert waits.model_version == two
            asked.registry.roll_back("video_object", OWN)
        failed = house.until_state(waits.id, "done", "failed")
        assert failed.state == "failed" and f"{two}, which was taken back" in failed.error
        console = asked.console()
        answer = console.post(f"/console/jobs/{failed.id}/retry")
        assert answer.get_json() == {"message": f"Asked for anew: {one} answers now."}
        again = house.ledger.jobs(task_id=2, limit=1)[0]
        assert house.until_state(again.id, "done", "failed").state == "done"
        assert again.model_version == one and asked.is_of(house.ledger.job(again.id), one)
        assert house.ledger.job(failed.id).state == "failed", "it stays on record"
    finally:
        house.close()
