"""What people do in a running Label Studio begins a training, and what comes of that answers them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.labelstudio.client import LabelStudioClient
from backends.ledger import JobRow
from backends.loop.corrections import read_marks
from backends.loop.folder import ProjectFolder
from backends.loop.policy import Policy
from backends.queues import IMPROVE, TRAIN, workers_alive
from backends.settings import to_env
from tests.label_studio import LabelStudioServer
from tests.predict_requests import LABEL_CONFIG, brush, disc, frame_refs
from tests.queue_house import ROOT
from tests.redis_server import RedisServer
from tests.served_house import SECRET, ServedHouse, wait_until
from tests.training_stand_in import OUTCOME

pytestmark = pytest.mark.labelstudio

PAINTED = brush("hand-made", "object 1", 0, disc(20, 24))


class Labelled:
    """A project in a real Label Studio, our server and a training worker whose cycles are stand-ins."""

    def __init__(self, house: ServedHouse, label_studio: LabelStudioServer) -> None:
        self.house = house
        self.client = LabelStudioClient(label_studio.url, label_studio.token)
        self.project = int(self.client.create_project("loop test", LABEL_CONFIG)["id"])
        data = [{"data": {"frames": frame_refs(6, "clips/bus"), "clip": f"bus-{n:03d}"}} for n in range(4)]
        self.tasks = self.client.import_tasks(self.project, data)
        backend = self.client.put_ml_backend(
            self.project, house.url, title="MaskLoop", user="maskloop", password=SECRET
        )
        self.backend = int(backend["id"])
        self.folder = ProjectFolder(house.settings.data_dir, self.project)

    def send_webhooks(self) -> None:
        self.client.put_webhook(
            self.project, f"{self.house.url}/webhook", headers={"X-MaskLoop-Secret": SECRET}
        )

    def submit(self, *numbers: int, **fields: object) -> None:
        for number in numbers:
            body = {"result": [PAINTED], **fields}
            self.client.connection.post(f"/api/tasks/{self.tasks[number]}/annotations/", body)

    def press_start_training(self) -> None:
        self.client.connection.post(f"/api/ml/{self.backend}/train", {})

    def maskloop(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command on the same installation."""
        env = os.environ | to_env(self.house.settings)
        command = [sys.executable, "-m", "pipelines.cli", *words]
        return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=120)

    def jobs(self) -> list[JobRow]:
        return self.house.ledger.project_jobs(IMPROVE, self.project)

    def until_done(self, count: int) -> list[JobRow]:
        """So many trainings are done and none is under way."""

        def settled() -> bool:
            return [row.state for row in self.jobs()] == ["done"] * count

        wait_until(settled, f"{count} trainings; {[row.state for row in self.jobs()]}, {self.house.told()}")
        return self.jobs()

    def setup(self, project: int) -> str:
        answer = self.house.post("/setup", {"project": f"{project}.1", "schema": LABEL_CONFIG})
        return str(answer.json()["model_version"])


@pytest.fixture
def labelled(
    tmp_path: Path, redis_server: RedisServer, label_studio: LabelStudioServer
) -> Iterator[Labelled]:
    house = ServedHouse(
        tmp_path,
        redis_server.url,
        label_studio_url=label_studio.url,
        label_studio_token=label_studio.token,
        media_root=label_studio.media_root,
    )
    env = os.environ | to_env(house.settings) | {"TRAINING_PROMOTE": "1"}
    trainer = subprocess.Popen([sys.executable, "-m", "tests.training_stand_in", "worker"], env=env, cwd=ROOT)
    try:
        wait_until(lambda: workers_alive(house.ledger, TRAIN), "the training worker")
        yield Labelled(house, label_studio)
    finally:
        trainer.kill()
        trainer.wait()
        house.close()


def test_enough_submitted_tasks_begin_a_training_and_its_version_answers(labelled: Labelled) -> None:
    house = labelled.house
    labelled.send_webhooks()
    house.parts.ear.start()
    with house.console() as browser:
        address = f"{house.url}/console/projects/{labelled.project}/policy"
        answer = browser.post(address, json={"after_tasks": 2, "debounce_s": 1}, timeout=30)
        assert answer.json() == {"message": "Saved. Begins by itself after every 2 tasks."}
    assert labelled.setup(labelled.project) == house.version
    labelled.submit(0)
    labelled.submit(1, was_cancelled=True)  # skipped
    labelled.submit(2)
    (row,) = labelled.until_done(1)
    assert row.payload["reason"] == "2 tasks were submitted since the last run" and row.stage == OUTCOME
    assert set(read_marks(labelled.folder).touched) == {labelled.tasks[0], labelled.tasks[2]}
    own = labelled.setup(labelled.project)
    assert own != house.version and labelled.setup(labelled.project + 1) == house.version


def test_start_training_in_label_studio_begins_one(labelled: Labelled) -> None:
    labelled.house.parts.ear.start()
    labelled.press_start_training()
    (row,) = labelled.until_done(1)
    assert row.payload["reason"] == "Start training was pressed in Label Studio"
    assert f"Start training was pressed: project {labelled.project} is queued" in labelled.house.told()
    wait_until(lambda: f"Project {labelled.project}: {OUTCOME}" in labelled.house.told(), "the outcome")


def test_the_command_line_queues_one_and_lists_it(labelled: Labelled) -> None:
    asked = labelled.maskloop("improve", "--project", str(labelled.project), "--queue")
    assert asked.returncode == 0 and f"project {labelled.project}: queued, job " in asked.stdout
    (row,) = labelled.until_done(1)
    assert row.id[:12] in asked.stdout and row.payload["reason"] == "`maskloop improve --queue`"
    listed = labelled.maskloop("jobs").stdout
    assert f"project {labelled.project}, improve: {OUTCOME}" in listed
    refused = labelled.maskloop("improve", "--project", str(labelled.project), "--queue", "--seed", "1")
    assert refused.returncode == 2 and "--queue leaves all else to the project's policy" in refused.stderr


def test_what_was_submitted_while_nobody_listened_is_found(labelled: Labelled) -> None:
    labelled.folder.save_policy(Policy(after_tasks=3, debounce_s=0.0))
    labelled.submit(0, 1, 3)
    assert labelled.jobs() == []
    labelled.house.parts.ear.start()
    (row,) = labelled.until_done(1)
    assert row.payload["reason"] == "3 tasks were submitted since the last run"
