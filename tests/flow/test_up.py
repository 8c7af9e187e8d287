"""`maskloop up` as a person uses it: all services real, one folder, several starts."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from backends.labelstudio.client import LabelStudioClient
from backends.ledger import Ledger
from backends.queues import workers_alive
from pipelines.media.sample_clip import N_FRAMES
from pipelines.services import installation
from pipelines.services.ports import is_free
from tests.up_process import READY, UpProcess, wait_until

pytestmark = pytest.mark.labelstudio


def client_of(up: UpProcess) -> LabelStudioClient:
    return LabelStudioClient(up.settings.label_studio_url, up.settings.label_studio_token)


def test_the_screen_says_how_to_get_in(up_house: UpProcess) -> None:
    up = up_house.ensure_ready()
    screen = up.output[up.output.index(READY) :]
    address = re.search(r"Label Studio +(\S+)", screen)
    login = re.search(r"log in as +(\S+) +password +(\S+)", screen)
    assert address and login, screen
    with requests.Session() as browser:
        page = browser.get(address.group(1), timeout=30)  # leads to the login page
        form = {"email": login.group(1), "password": login.group(2)}
        form["csrfmiddlewaretoken"] = str(browser.cookies.get("csrftoken"))
        page = browser.post(page.url, data=form, headers={"Referer": page.url}, timeout=30)
        assert page.status_code == 200
        assert browser.get(address.group(1), timeout=30).url == address.group(1), "still not logged in"


def test_the_console_link_logs_in(up_house: UpProcess) -> None:
    up = up_house.ensure_ready()
    link = re.search(r"console +(\S+)", up.output)
    assert link, up.output
    bare = requests.get(link.group(1).split("/login")[0] + "/state", timeout=10, allow_redirects=False)
    assert bare.status_code != 200
    with requests.Session() as browser:
        assert browser.get(link.group(1), timeout=10).status_code == 200
        state = browser.get(link.group(1).split("/login")[0] + "/state", timeout=10)
    assert [worker["state"] for worker in state.json()["workers"]] == ["idle"]


def test_the_sample_task_is_there_with_frames_that_load(up_house: UpProcess) -> None:
    up = up_house.ensure_ready()
    client = client_of(up)
    (project,) = client.projects()
    (task,) = client.tasks(project["id"])
    frames = task["data"]["frames"]
    assert len(frames) == N_FRAMES
    headers = client.connection.authorization()
    answer = requests.get(up.settings.label_studio_url + frames[7], headers=headers, timeout=10)
    assert answer.content == (up.settings.media_root / "clips/sample/00007.jpg").read_bytes()


def test_the_backend_is_connected_once_and_its_webhook_holds_the_secret(up_house: UpProcess) -> None:
    up = up_house.ensure_ready()
    client = client_of(up)
    project_id = client.projects()[0]["id"]
    (backend,) = client.ml_backends(project_id)
    assert backend["state"] == "CO" and backend["is_interactive"]
    (hook,) = client.webhooks(project_id)
    assert hook["headers"] == {"X-MaskLoop-Secret": up.settings.shared_secret()}


def test_secret_files_are_private_and_not_in_the_logs(up_house: UpProcess) -> None:
    up = up_house.ensure_ready()
    login = installation.read_login(up.data_dir)
    assert login is not None
    for name in ("secret", "label-studio-login.json", "run/services.json"):
        assert (up.data_dir / name).stat().st_mode & 0o077 == 0, name
    logs = "".join(path.read_text(errors="replace") for path in (up.data_dir / "logs").glob("*.log"))
    for canary in (up.settings.shared_secret(), login.token, login.password):
        assert canary not in logs


def test_a_second_up_is_refused_by_name(up_house: UpProcess) -> None:
    up = up_house.ensure_ready()
    assert up.process is not None
    second = up.run("up")
    assert second.returncode == 4
    assert f"process {up.process.pid}" in second.stderr and "MASKLOOP_DATA_DIR" in second.stderr


def test_a_killed_worker_is_started_again_and_said(up_house: UpProcess) -> None:
    up = up_house.ensure_ready()
    ledger = Ledger(up.settings.ledger_path)
    try:
        (old,) = workers_alive(ledger)
        signal_at = len(up.output)
        (process,) = [child for child in up.family() if child.pid == old.pid]
        process.send_signal(signal.SIGKILL)

        def replaced() -> bool:
            return any(row.pid != old.pid and row.state != "loading" for row in workers_alive(ledger))

        wait_until(replaced, 120, lambda: up.output[signal_at:])
    finally:
        ledger.close()
    said = up.output[signal_at:]
    assert "worker ended (killed by signal 9" in said and "worker was started again" in said


def test_ctrl_c_ends_everything_and_the_next_start_goes_on(up_house: UpProcess) -> None:
    up = up_house.ensure_ready()
    before = installation.read_services(up.data_dir)
    began = time.monotonic()
    assert up.stop() == 0
    print(f"stop: {time.monotonic() - began:.1f} s")
    wait_until(lambda: not up.family(), 10, lambda: f"left behind: {up.family()}")
    began = time.monotonic()
    up.ensure_ready()
    warm_s = time.monotonic() - began
    print(f"warm restart: {warm_s:.1f} s (the aim is 25 s)")
    assert warm_s < 90
    assert "did not end cleanly" not in up.output
    assert installation.read_services(up.data_dir) == before
    client = client_of(up)
    assert [len(list(client.tasks(project["id"]))) for project in client.projects()] == [1]


def test_a_start_after_much_has_changed(up_house: UpProcess, tmp_path: Path) -> None:
    """The token reset, the sample task deleted, another port wanted, an own clip given."""
    up = up_house.ensure_ready()
    (sample,) = client_of(up).tasks(client_of(up).projects()[0]["id"])
    client_of(up).delete_task(sample["id"])
    fresh = client_of(up).connection.post("/api/current-user/reset-token/", {})["token"]
    up.stop()
    frames = tmp_path / "walk"
    frames.mkdir()
    for number in range(3):
        Image.fromarray(np.full((48, 64, 3), 60 * number, np.uint8)).save(frames / f"{number}.png")
    port = up.settings.port + 1
    while not is_free("127.0.0.1", port):
        port += 1
    up.start("--clip", str(frames), MASKLOOP_PORT=str(port))
    up.wait_for(READY)
    assert "refuses the stored token" in up.output
    login = installation.read_login(up.data_dir)
    assert login is not None and login.token == fresh
    client = client_of(up)
    (project,) = client.projects()
    (own,) = client.tasks(project["id"])
    assert own["data"]["source"].startswith("walk") and len(own["data"]["frames"]) == 3
    (backend,), (hook,) = client.ml_backends(project["id"]), client.webhooks(project["id"])
    assert backend["url"] == f"http://127.0.0.1:{port}" and hook["url"] == f"{backend['url']}/webhook"
    assert f"?task={own['id']}" in up.output, "the screen leads to the person's own clip"
    assert up.run("doctor").returncode == 0


def test_a_clip_that_cannot_be_used_is_refused_before_anything_starts(tmp_path: Path) -> None:
    up = UpProcess(tmp_path / "data")
    (tmp_path / "empty").mkdir()
    refused = up.run("up", "--clip", str(tmp_path / "empty"))
    assert refused.returncode == 2 and "empty" in refused.stderr
    assert not (up.data_dir / "label-studio").exists()


def test_a_port_named_by_hand_must_be_free(tmp_path: Path, up_house: UpProcess) -> None:
    taken = up_house.ensure_ready().settings.port
    other = UpProcess(tmp_path / "data")
    refused = other.run("up", MASKLOOP_PORT=str(taken))
    assert refused.returncode == 4
    assert f"port {taken}" in refused.stderr and "MASKLOOP_PORT" in refused.stderr
    assert not other.family()
