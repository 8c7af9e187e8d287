"""The client against a running Label Studio 1.23.2, both kinds of token, everything provisioning needs."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backends.core.errors import BadInput, LabelStudioDown, TokenRefused
from backends.core.types import FrameMasks
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.connection import NotThere
from backends.labelstudio.drafts import freshest, wait_for_draft
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.media import FrameLocator
from backends.labelstudio.regions import check_result, read_masks, to_results
from tests.label_studio import LabelStudioServer

pytestmark = pytest.mark.labelstudio

CONFIG_XML = Path("labelstudio_config/video_object.xml").read_text()
CONFIG = LabelConfig.parse(CONFIG_XML)
SIZE_HW = (48, 64)
N_FRAMES = 4


@pytest.fixture(scope="module")
def client(label_studio: LabelStudioServer) -> LabelStudioClient:
    return LabelStudioClient(label_studio.url, label_studio.token)


@pytest.fixture(scope="module")
def personal_token(client: LabelStudioClient) -> str:
    return client.create_personal_token()


@pytest.fixture
def project_id(client: LabelStudioClient) -> int:
    return int(client.create_project("client test", CONFIG_XML, show_collab_predictions=False)["id"])


@pytest.fixture
def task_id(label_studio: LabelStudioServer, client: LabelStudioClient, project_id: int) -> int:
    folder = label_studio.media_root / "clips" / f"p{project_id}"
    folder.mkdir(parents=True)
    for index in range(N_FRAMES):
        Image.new("RGB", SIZE_HW[::-1], (index * 40, 90, 90)).save(folder / f"{index:05d}.png")
    client.put_local_storage(project_id, str(label_studio.media_root / "clips"))
    references = [f"/data/local-files/?d=clips/p{project_id}/{i:05d}.png" for i in range(N_FRAMES)]
    [task] = client.import_tasks(project_id, [{"data": {"frames": references, "clip": "c1"}}])
    return task


def masks(shift: int = 0) -> list[dict[str, Any]]:
    """Regions of two objects on every frame; object 2 is not visible on frame 0."""
    results = []
    for index in range(N_FRAMES):
        first = np.zeros(SIZE_HW, np.bool_)
        first[10:20, 5 + index + shift : 25 + index] = True
        second = np.zeros(SIZE_HW, np.bool_)
        second[30:40, 40 - index : 50] = index > 0
        frame = FrameMasks(index, {"object 1": first, "object 2": second}, {"object 1": 0.9, "object 2": 0.8})
        results += to_results(frame, CONFIG, SIZE_HW)
    return results


def test_the_installation_says_what_it_is(client: LabelStudioClient, label_studio: LabelStudioServer) -> None:
    assert client.health()
    assert client.version() == "1.23.2"
    assert client.whoami()["email"] == label_studio.username


def test_a_personal_token_buys_access_tokens(label_studio: LabelStudioServer, personal_token: str) -> None:
    now = [1_000_000.0]
    client = LabelStudioClient(label_studio.url, personal_token)
    client.connection._token._clock = lambda: now[0]
    assert client.whoami()["email"] == label_studio.username
    first = client.connection.authorization()["Authorization"]
    assert first.startswith("Bearer ") and personal_token not in first
    assert client.connection.authorization()["Authorization"] == first, "asked for a new one too early"
    now[0] += 280  # of 300 s
    assert client.connection.authorization()["Authorization"] != first
    client.connection._token._access = "run.out.early"  # as after a restart of Label Studio with a new key
    assert client.whoami()["email"] == label_studio.username


@pytest.mark.parametrize("kind", ["wrong legacy", "forged personal", "empty"])
def test_a_refused_token_is_named_and_not_shown(
    label_studio: LabelStudioServer, personal_token: str, kind: str
) -> None:
    head, claims, _ = personal_token.split(".")
    signature = base64.urlsafe_b64encode(b"x" * 32).decode().rstrip("=")
    token = {"wrong legacy": "0" * 40, "forged personal": f"{head}.{claims}.{signature}", "empty": ""}[kind]
    client = LabelStudioClient(label_studio.url, token)
    with pytest.raises(TokenRefused) as caught:
        client.whoami()
    shown = f"{caught.value} {client!r} {client.connection!r} {client.connection._token!r}"
    assert "token" in str(caught.value)
    assert not token or token not in shown


def test_legacy_tokens_can_be_switched_on_with_a_personal_one(
    client: LabelStudioClient, label_studio: LabelStudioServer, personal_token: str
) -> None:
    with_personal = LabelStudioClient(label_studio.url, personal_token)
    with_personal.connection.post(
        "/api/jwt/settings", {"api_tokens_enabled": True, "legacy_api_tokens_enabled": False}
    )
    try:
        with pytest.raises(TokenRefused, match="allow legacy tokens under Organization"):
            client.whoami()
    finally:
        with_personal.enable_legacy_tokens()
    assert client.whoami()["email"] == label_studio.username


def test_projects_and_tasks(client: LabelStudioClient, project_id: int, task_id: int) -> None:
    assert project_id in [p["id"] for p in client.projects()]
    client.patch_project(project_id, description="changed")
    assert client.project(project_id)["description"] == "changed"
    more = client.import_tasks(project_id, [{"data": {"frames": [f"/{i}"]}} for i in range(230)])
    assert sorted(t["id"] for t in client.tasks(project_id)) == [task_id, *more], "a page was lost"
    assert client.task(task_id)["data"]["clip"] == "c1"
    client.delete_task(more[0])
    client.delete_task(more[0])  # gone already
    with pytest.raises(NotThere):
        client.task(more[0])


def test_refusals_carry_label_studios_words(client: LabelStudioClient, project_id: int) -> None:
    with pytest.raises(BadInput, match="at least 3 characters"):
        client.create_project("x", CONFIG_XML)
    with pytest.raises(BadInput, match="Premature end of data"):
        client.patch_project(project_id, label_config="<View>")
    with pytest.raises(BadInput, match="health check failed") as caught:
        client.put_ml_backend(
            project_id, "http://127.0.0.1:9", title="gone", user="u", password="canary-pass"
        )
    assert "<a href" not in str(caught.value) and "canary-pass" not in str(caught.value)


def test_masks_survive_the_way_there_and_back(client: LabelStudioClient, task_id: int) -> None:
    result = masks()
    assert check_result(result, CONFIG, N_FRAMES, SIZE_HW) == []
    prediction_id = client.create_prediction(task_id, result, "video_object-test", 0.85)
    [stored] = client.predictions(task_id, "video_object-test")
    assert (stored["id"], stored["score"]) == (prediction_id, 0.85)
    sent, refused = read_masks(result, CONFIG, N_FRAMES, SIZE_HW)
    got, refused_back = read_masks(stored["result"], CONFIG, N_FRAMES, SIZE_HW)
    assert refused == refused_back == []
    assert [(r.id, r.digest) for r in got] == [(r.id, r.digest) for r in sent]
    assert len(got) == 2 * N_FRAMES - 1, "an object that is not visible gives no region"

    client.update_prediction(prediction_id, masks(shift=3), 0.5)
    [changed] = client.predictions(task_id)
    assert changed["result"] != stored["result"] and changed["id"] == prediction_id
    client.delete_prediction(prediction_id)
    client.delete_prediction(prediction_id)  # gone already
    assert client.predictions(task_id) == []


def test_the_sdk_reads_what_we_wrote(
    client: LabelStudioClient, label_studio: LabelStudioServer, task_id: int
) -> None:
    from label_studio_sdk import LabelStudio
    from label_studio_sdk.converter.brush import decode_rle

    prediction_id = client.create_prediction(task_id, masks(), "video_object-test")
    sdk = LabelStudio(base_url=label_studio.url, api_key=label_studio.token, max_retries=0)
    stored = sdk.predictions.get(id=prediction_id)
    region = json.loads(json.dumps(stored.result))[0]
    alpha = decode_rle(region["value"]["rle"]).reshape(*SIZE_HW, 4)[:, :, 3]
    assert alpha[12, 10] == 255 and alpha[0, 0] == 0


def test_drafts_are_found_by_the_click_they_hold(client: LabelStudioClient, task_id: int) -> None:
    stroke = {"type": "add", "relativePoints": [20, 50, 60, 50], "relativeStrokeWidth": 20}
    painted = {
        "id": "hand-1",
        "type": "brushlabels",
        "from_name": "mask",
        "to_name": "img",
        "item_index": 2,
        "original_width": SIZE_HW[1],
        "original_height": SIZE_HW[0],
        "image_rotation": 0,
        "value": {"format": "rle", "touches": [stroke], "brushlabels": ["object 1"]},
    }
    trigger = {"id": "trigger-1", "type": "keypointlabels", "value": {}}
    assert client.drafts(task_id) == []

    def autosave() -> None:
        time.sleep(0.6)  # the editor's lag, shortened
        body = {"result": [painted, trigger], "lead_time": 1}
        client.connection.post(f"/api/tasks/{task_id}/drafts", body)

    thread = threading.Thread(target=autosave)
    thread.start()
    draft = wait_for_draft(lambda: client.drafts(task_id), "trigger-1", 20)
    thread.join()
    assert draft is not None and draft.user == "admin@example.com"
    assert freshest(client.drafts(task_id), user="admin@example.com") == draft
    [region], refused = read_masks(draft.result, CONFIG, N_FRAMES, SIZE_HW)
    assert refused == [] and (region.object_id, region.frame_index) == ("object 1", 2)
    assert region.mask[24, 30] and not region.mask[5, 5]


def test_annotations_are_read_whole(client: LabelStudioClient, task_id: int) -> None:
    client.connection.post(f"/api/tasks/{task_id}/annotations/", {"result": masks()})
    [annotation] = client.annotations(task_id)
    regions, refused = read_masks(annotation["result"], CONFIG, N_FRAMES, SIZE_HW)
    assert len(regions) == 2 * N_FRAMES - 1 and not refused


def test_frames_are_found_on_disk_and_over_http(
    client: LabelStudioClient,
    label_studio: LabelStudioServer,
    personal_token: str,
    task_id: int,
    tmp_path: Path,
) -> None:
    references = CONFIG.frame_refs(client.task(task_id)["data"])
    shared = FrameLocator(label_studio.media_root, label_studio.url, label_studio.token, tmp_path / "a")
    paths = shared.paths(references)
    assert paths[1].is_relative_to(label_studio.media_root.resolve())
    for token in (label_studio.token, personal_token):  # a worker that does not share the folder
        apart = FrameLocator(tmp_path / "absent", label_studio.url, token, tmp_path / token[:8])
        fetched = apart.paths(references)
        assert [p.read_bytes() for p in fetched] == [p.read_bytes() for p in paths]


class _Backend(BaseHTTPRequestHandler):
    """Just enough of a backend for Label Studio to connect to, and a list of what it was sent."""

    seen: list[tuple[str, str, str, dict[str, Any]]]

    def do_GET(self) -> None:
        self._answer({"status": "UP"})

    def do_POST(self) -> None:
        self._answer({"model_version": "video_object-test"})

    def _answer(self, body: dict[str, Any]) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        entry = (self.path, self.headers.get("Authorization", ""), self.headers.get("X-MaskLoop-Secret", ""))
        self.server.seen.append((*entry, json.loads(raw or b"{}")))  # type: ignore[attr-defined]
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def backend() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Backend)
    server.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def wait_until(condition: Callable[[], bool], what: str, limit_s: float = 30) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit_s} s for {what}"
        time.sleep(0.05)


def test_backend_and_webhook_are_connected_once(
    client: LabelStudioClient, project_id: int, task_id: int, backend: ThreadingHTTPServer
) -> None:
    url = f"http://127.0.0.1:{backend.server_port}"
    first = client.put_ml_backend(project_id, url, title="MaskLoop", user="maskloop", password="pass-1")
    again = client.put_ml_backend(project_id, url + "/", title="MaskLoop", user="maskloop", password="pass-1")
    assert again["id"] == first["id"]
    [connected] = client.ml_backends(project_id)
    assert connected["is_interactive"] and connected["readable_state"] == "Connected"
    seen: list[Any] = backend.seen  # type: ignore[attr-defined]
    expected = "Basic " + base64.b64encode(b"maskloop:pass-1").decode()
    assert {auth for path, auth, _, _ in seen if path in ("/health", "/setup")} == {expected}

    hook = {"X-MaskLoop-Secret": "s3cret"}
    one = client.put_webhook(project_id, f"{url}/webhook", headers=hook)
    two = client.put_webhook(project_id, f"{url}/webhook", headers=hook)
    assert one["id"] == two["id"] and "ANNOTATION_CREATED" in two["actions"]
    client.connection.post(f"/api/tasks/{task_id}/annotations/", {"result": masks()})
    wait_until(lambda: any(s == "s3cret" for _, _, s, _ in seen), "the webhook with its secret")
    [body] = [b for _, _, secret, b in seen if secret]
    assert (body["action"], body["task"]["id"]) == ("ANNOTATION_CREATED", task_id)


def test_a_label_studio_that_is_away_is_named() -> None:
    away = LabelStudioClient("http://127.0.0.1:9", "0" * 40, get_attempts=2)
    assert away.health() is False
    with pytest.raises(LabelStudioDown, match=r"http://127\.0\.0\.1:9 .*is it running"):
        away.task(1)
