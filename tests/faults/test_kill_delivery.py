"""A result reaches the real Label Studio exactly once, whatever happens to the answers on the way back."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
import requests

from backends import queues
from backends.core.errors import Unavailable
from backends.core.types import FrameMasks, MaskPrompt
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.regions import read_masks, region_id
from backends.ledger import Ledger
from backends.queues import PropagationRequest
from pipelines.working.sink import LabelStudioSink
from tests.http_script import Asked, reply, scripted
from tests.label_studio import LabelStudioServer
from tests.queue_house import SIZE_HW, QueueHouse, disc, draw_frames
from tests.stand_in import VERSION

pytestmark = pytest.mark.labelstudio

XML = Path("labelstudio_config/video_object.xml").read_text()
CONFIG = LabelConfig.parse(XML)
N_FRAMES = 5

Fault = Callable[["Road", Asked, BaseHTTPRequestHandler], None]


@dataclass
class Road:
    """The way to Label Studio; each POST of a prediction meets the next fault, later ones pass."""

    target: str
    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    met: int = 0
    is_cut: bool = False

    def answer(self, asked: Asked, handler: BaseHTTPRequestHandler) -> None:
        if self.is_cut:
            return handler.connection.close()
        if asked.method == "POST" and asked.path.startswith("/api/predictions") and self.faults:
            self.met += 1
            return self.faults.pop(0)(self, asked, handler)
        answer = self.forward(asked)
        reply(handler, answer.status_code, answer.content, {"Content-Type": "application/json"})

    def forward(self, asked: Asked) -> requests.Response:
        headers = {k: v for k, v in asked.headers.items() if k in ("Authorization", "Content-Type", "Accept")}
        return requests.request(
            asked.method, self.target + asked.path, headers=headers, data=asked.body, timeout=30
        )


@contextmanager
def road_to(server: LabelStudioServer) -> Iterator[Road]:
    road = Road(server.url)
    with scripted(road.answer) as script:
        road.url = script.url
        yield road


def commit_then(status: int) -> Fault:
    def fault(road: Road, asked: Asked, handler: BaseHTTPRequestHandler) -> None:
        assert road.forward(asked).status_code == 201
        reply(handler, status)

    return fault


def commit_then_hang_up(road: Road, asked: Asked, handler: BaseHTTPRequestHandler) -> None:
    assert road.forward(asked).status_code == 201
    handler.connection.close()


def commit_then_silence(road: Road, asked: Asked, handler: BaseHTTPRequestHandler) -> None:
    assert road.forward(asked).status_code == 201
    time.sleep(4)  # the client of these tests waits 2 s


def hang_up_then_commit_late(road: Road, asked: Asked, handler: BaseHTTPRequestHandler) -> None:
    threading.Timer(1.5, road.forward, [asked]).start()
    handler.connection.close()


def refuse(status: int) -> Fault:
    return lambda road, asked, handler: reply(handler, status, b'{"detail": "scripted"}')


@dataclass(frozen=True)
class Place:
    """A project with one task in the real Label Studio."""

    client: LabelStudioClient  # straight, for looking at what is there
    project_id: int
    task_id: int
    refs: tuple[str, ...]


@pytest.fixture
def place(label_studio: LabelStudioServer) -> Place:
    client = LabelStudioClient(label_studio.url, label_studio.token)
    project_id = int(client.create_project("delivery test", XML, show_collab_predictions=False)["id"])
    draw_frames(label_studio.media_root / "clips" / f"d{project_id}", N_FRAMES)
    refs = tuple(f"/data/local-files/?d=clips/d{project_id}/{i:05d}.png" for i in range(N_FRAMES))
    [task_id] = client.import_tasks(project_id, [{"data": {"frames": list(refs)}}])
    return Place(client, project_id, task_id, refs)


@pytest.fixture
def road(label_studio: LabelStudioServer) -> Iterator[Road]:
    with road_to(label_studio) as road:
        yield road


@pytest.fixture
def house(queue_house: QueueHouse, label_studio: LabelStudioServer, road: Road) -> QueueHouse:
    """Workers that reach the real Label Studio by the road."""
    queue_house.env |= {
        "MASKLOOP_LABEL_STUDIO_URL": road.url,
        "MASKLOOP_LABEL_STUDIO_TOKEN": label_studio.token,
        "MASKLOOP_MEDIA_ROOT": str(label_studio.media_root),
    }
    return queue_house


def sink_for(ledger: Ledger, road: Road, place: Place, owner: str = "tester") -> LabelStudioSink:
    token = place.client.connection.authorization()["Authorization"].split()[1]
    client = LabelStudioClient(road.url, token, timeout_s=2.0, get_attempts=1)
    return LabelStudioSink(client, ledger, place.project_id, N_FRAMES, SIZE_HW, owner)


def some_frames(column: int = 8) -> list[FrameMasks]:
    return [FrameMasks(i, {"object 1": disc(8, column + i)}, {"object 1": 0.8}) for i in range(N_FRAMES)]


def put_until_it_holds(sink: LabelStudioSink, place: Place, frames: list[FrameMasks]) -> int:
    """As the worker does, without its pauses; returns the number of attempts."""
    for attempt in range(1, 8):
        with contextlib.suppress(Unavailable):
            sink.put(place.task_id, frames, VERSION)
            return attempt
    raise AssertionError("never delivered")


def assert_holds(place: Place, frames: list[FrameMasks]) -> int:
    """Exactly one prediction of our version, with exactly these masks; its id."""
    [there] = place.client.predictions(place.task_id, VERSION)
    regions, refusals = read_masks(there["result"], CONFIG, N_FRAMES, SIZE_HW)
    wanted = {(n, f.frame_index): m for f in frames for n, m in f.masks.items() if m.any()}
    assert not refusals and {(r.object_id, r.frame_index) for r in regions} == set(wanted)
    assert all(np.array_equal(r.mask, wanted[r.object_id, r.frame_index]) for r in regions)
    return int(there["id"])


@pytest.mark.parametrize(
    "faults",
    [
        [],
        [commit_then(502)],
        [commit_then(504), commit_then_hang_up],
        [commit_then_hang_up],
        [commit_then_silence],
        [refuse(500), refuse(503)],
        [refuse(429)],
        [refuse(401), commit_then(502)],
        [refuse(500), commit_then_hang_up, refuse(502)],
    ],
    ids=lambda faults: "+".join(getattr(f, "__qualname__", "?").split(".")[0] for f in faults) or "fine",
)
def test_one_prediction_whatever_the_answers(
    faults: list[Fault], tmp_path: Path, road: Road, place: Place
) -> None:
    ledger, road.faults = Ledger(tmp_path / "ledger.sqlite3"), list(faults)
    put_until_it_holds(sink_for(ledger, road, place), place, some_frames())
    assert road.met == len(faults) - len(road.faults) and not (faults and road.met == 0)
    kept = assert_holds(place, some_frames())
    row = ledger.prediction(place.task_id, VERSION)
    assert row is not None and (row.state, row.prediction_id) == ("confirmed", kept)

    put_until_it_holds(sink_for(ledger, road, place), place, some_frames(10))
    assert assert_holds(place, some_frames(10)) == kept, "a newer result replaces in place"


def test_a_request_that_takes_effect_late_leaves_no_twin(tmp_path: Path, road: Road, place: Place) -> None:
    ledger, road.faults = Ledger(tmp_path / "ledger.sqlite3"), [hang_up_then_commit_late]
    sink = sink_for(ledger, road, place)
    with pytest.raises(Unavailable, match=r"cannot be reached|no answer"):
        sink.put(place.task_id, some_frames(), VERSION)
    with pytest.raises(Unavailable, match="looked at once more for a twin"):
        sink.put(place.task_id, some_frames(), VERSION)
    deadline = time.monotonic() + 20
    while len(place.client.predictions(place.task_id, VERSION)) < 2:
        assert time.monotonic() < deadline, "the late request never took effect"
        time.sleep(0.1)
    sink.put(place.task_id, some_frames(), VERSION)
    assert_holds(place, some_frames())


def test_two_workers_do_not_send_at_once(tmp_path: Path, road: Road, place: Place) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    ledger.register_worker("other", queues.WARM_QUEUES)  # this process: alive
    assert ledger.plan_prediction(place.task_id, VERSION, "x", "other", 60)
    with pytest.raises(Unavailable, match="another worker"):
        sink_for(ledger, road, place).put(place.task_id, some_frames(), VERSION)
    ledger.forget_worker("other")  # it died in the middle
    put_until_it_holds(sink_for(ledger, road, place), place, some_frames())
    assert_holds(place, some_frames())


def wish(place: Place, *names: str) -> PropagationRequest:
    anchors = tuple(MaskPrompt(name, 0, disc(8, 8 + 12 * k)) for k, name in enumerate(names))
    return PropagationRequest(place.project_id, place.task_id, place.refs, SIZE_HW, anchors, VERSION, True)


def until_delivery(house: QueueHouse, job_id: str, *wanted: str) -> None:
    house.until(lambda: house.ledger.job(job_id).delivery in wanted)


def test_a_worker_delivers_and_remembers_what_is_the_machines(house: QueueHouse, place: Place) -> None:
    house.start_worker()
    row = house.enqueue(wish(place, "object 1", "object 2"))
    until_delivery(house, row.id, "delivered", "refused")
    frames = house.ledger.frames(row.id)
    kept = assert_holds(place, frames)
    known = house.ledger.machine_digests(place.task_id)
    assert region_id("object 1", 1) in known and region_id("object 1", 0) not in known, (
        "frame 0 is a person's"
    )

    queues.retry(house.ledger, house.redis, row.id)
    until_delivery(house, row.id, "delivered")
    house.until(lambda: house.ledger.job(row.id).delivery_attempts == 2)
    assert assert_holds(place, frames) == kept


def test_label_studio_away_during_delivery_loses_nothing(house: QueueHouse, road: Road, place: Place) -> None:
    road.is_cut = True
    house.start_worker()
    row = house.until_state(house.enqueue(wish(place, "object 1")).id, "done", "failed")
    house.until(lambda: house.ledger.job(row.id).delivery_attempts >= 2)
    row = house.ledger.job(row.id)
    assert (row.state, row.done, row.delivery) == ("done", N_FRAMES, "pending")
    assert "Label Studio" in row.delivery_error and row.deliver_after > 0
    road.is_cut = False
    until_delivery(house, row.id, "delivered")
    assert_holds(place, house.ledger.frames(row.id))


def test_killed_between_sending_and_the_answer(house: QueueHouse, road: Road, place: Place) -> None:
    committed = threading.Event()

    def commit_and_wait(road: Road, asked: Asked, handler: BaseHTTPRequestHandler) -> None:
        assert road.forward(asked).status_code == 201
        committed.set()
        time.sleep(3)

    road.faults = [commit_and_wait]
    worker = house.start_worker()
    row = house.enqueue(wish(place, "object 1"))
    assert committed.wait(60)
    house.kill(worker)
    house.start_worker()
    until_delivery(house, row.id, "delivered")
    assert_holds(place, house.ledger.frames(row.id))
    assert house.ledger.job(row.id).attempts == 1, "the masks were made once"


def test_a_label_that_is_gone_is_left_out_and_named(house: QueueHouse, place: Place) -> None:
    house.start_worker()
    row = house.enqueue(wish(place, "object 1", "stranger"))
    until_delivery(house, row.id, "delivered", "refused")
    row = house.ledger.job(row.id)
    assert (
        row.delivery == "delivered" and "object 'stranger' is no label of this project" in row.delivery_error
    )
    [there] = place.client.predictions(place.task_id, VERSION)
    assert {r["value"]["brushlabels"][0] for r in there["result"]} == {"object 1"}


def test_nothing_that_fits_is_refused_with_reasons(house: QueueHouse, place: Place) -> None:
    house.start_worker()
    row = house.enqueue(wish(place, "stranger"))
    until_delivery(house, row.id, "delivered", "refused")
    row = house.ledger.job(row.id)
    assert (row.state, row.delivery) == ("done", "refused") and "'stranger'" in row.delivery_error
    assert place.client.predictions(place.task_id, VERSION) == []


def test_a_task_that_was_deleted_meanwhile_is_refused(house: QueueHouse, place: Place) -> None:
    place.client.delete_task(place.task_id)
    house.start_worker()
    row = house.enqueue(wish(place, "object 1"))
    until_delivery(house, row.id, "delivered", "refused")
    assert house.ledger.job(row.id).delivery == "refused"


def test_a_refused_token_waits_for_a_person(house: QueueHouse, place: Place) -> None:
    house.env["MASKLOOP_LABEL_STUDIO_TOKEN"] = "f" * 40
    house.start_worker()
    row = house.enqueue(wish(place, "object 1"))
    house.until(lambda: house.ledger.job(row.id).delivery_error)
    row = house.ledger.job(row.id)
    assert row.delivery == "pending" and "token" in row.delivery_error and "f" * 40 not in row.delivery_error
    assert row.deliver_after - time.time() > 10
