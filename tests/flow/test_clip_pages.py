"""What the console shows of labelled clips, over HTTP from a real ledger: list, page, pictures, refusals."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from backends.clip_pictures import ClipPictures, label_colours
from backends.core.errors import BadInput, BadMedia
from backends.core.types import FrameMasks
from backends.ledger import ClipFigures, JobRow, Ledger, Pair
from backends.notices import Event
from backends.queues import WARM_QUEUES, ClipRequest
from tests.predict_requests import SIZE_HW, disc
from tests.redis_server import RedisServer
from tests.served_house import WORKER, ServedHouse

N = 4
LABELS = {"road": (), "car": (), "never seen": ()}
STEADY = Pair("measured", {"car": 0.9, "road": 0.9}, {"car": 0.9, "road": 0.9})
SHAKY = Pair("measured", {"car": 0.1, "road": 0.7}, {"car": 0.2, "road": 0.8})


@pytest.fixture
def house(tmp_path: Path, redis_server: RedisServer) -> Iterator[ServedHouse]:
    house = ServedHouse(tmp_path, redis_server.url)
    yield house
    house.close()


def finished(ledger: Ledger, task: int = 9, folder: str = "bus", **colours: str) -> JobRow:
    """A labelled clip: everything is road but a disc, which is car; nothing in the last row."""
    refs = tuple(f"/data/local-files/?d=clips/{folder}/{index:05d}.png" for index in range(N))
    request = ClipRequest(3, task, refs, SIZE_HW, LABELS, "video_semantic-00000000", colours)
    row = ledger.want_job(request.wanted())
    assert ledger.start(row.id, row.generation, "w") is not None
    for index in range(N):
        car = disc(20 + 2 * index, 24)
        road = ~car
        road[-1] = False
        ledger.put_frame(row.id, row.generation, FrameMasks(index, {"car": car, "road": road}, {}))
    ledger.finish(row.id, row.generation, 0.1)
    ledger.note_delivery(row.id, "delivered")
    return ledger.job(row.id)


def test_the_page_of_a_clip_has_its_figures_and_its_pictures(house: ServedHouse) -> None:
    row = finished(house.ledger, car="#0a0b0c", road="gold")
    browser = house.console()
    at = f"{house.url}/console/clips/{row.id}"
    assert "player" in browser.get(at).text
    told = browser.get(f"{at}/state").json()
    assert (told["name"], told["task_id"], told["frames"], told["steadiness"]) == ("bus", 9, N, None)
    assert told["editor_url"].endswith("/projects/3/data?task=9")
    assert [label["name"] for label in told["labels"]] == list(LABELS)
    assert {label["name"]: label["colour"] for label in told["labels"]} | {"never seen": ""} == {
        "road": "#ffd700",
        "car": "#0a0b0c",
        "never seen": "",
    }
    house.ledger.put_clip_figures(
        row.id, ClipFigures((STEADY, SHAKY, Pair("cut")), {}, {"car": 0.5, "road": 0.8}, {3: "it broke"})
    )
    steadiness = browser.get(f"{at}/state").json()["steadiness"]
    assert steadiness["share"] == pytest.approx(0.65) and steadiness["trouble"] == ""
    assert steadiness["eyes"] == [3, 2]
    frames = steadiness["frames"]
    assert [frame["share"] for frame in frames] == [*map(pytest.approx, (0.9, 0.7, 0.5)), None]
    assert frames[2]["worst"][0] == ["car", 0.2] and frames[3]["opens_scene"] and frames[3]["unread"]

    jpeg = browser.get(f"{at}/frames/2.jpg")
    assert jpeg.headers["Content-Type"] == "image/jpeg"
    shown = np.asarray(Pillow.open(io.BytesIO(jpeg.content)).convert("RGB")).astype(int)
    assert shown.shape == (*SIZE_HW, 3) and shown[24, 24, 0] > 150, "the orange disc"
    over = Pillow.open(io.BytesIO(browser.get(f"{at}/labels/2.png").content)).convert("RGBA")
    colours = np.asarray(over)
    assert (colours[disc(24, 24)] == (10, 11, 12, 255)).all()
    assert (colours[-1, :, 3] == 0).all() and (colours[0] == (255, 215, 0, 255)).all()


def test_clips_are_listed_shakiest_first_and_what_is_saved_goes_to_the_end(house: ServedHouse) -> None:
    steady, shaky, unknown = (finished(house.ledger, task) for task in (1, 2, 3))
    house.ledger.put_clip_figures(steady.id, ClipFigures((), {}, {"car": 0.9}))
    house.ledger.put_clip_figures(shaky.id, ClipFigures((), {}, {"car": 0.4}))
    browser = house.console()
    state = browser.get(f"{house.url}/console/state").json()
    items = state["clips"]["items"]
    assert [(item["task_id"], item["share"]) for item in items] == [(2, 0.4), (1, 0.9), (3, None)]
    assert [job["clip_path"] for job in state["jobs"]] == [f"/clips/{job['id']}" for job in state["jobs"]]
    assert state["jobs"][0]["unit"] == "frames" and state["jobs"][0]["clip"] == "bus"
    house.notices.record(Event("ANNOTATION_CREATED", 3, shaky.task_id, 1))
    items = browser.get(f"{house.url}/console/state").json()["clips"]["items"]
    assert [(item["id"], item["is_saved"]) for item in items] == [
        (steady.id, False),
        (unknown.id, False),
        (shaky.id, True),
    ]


def test_a_clip_without_figures_can_be_measured_once_there_is_a_worker(house: ServedHouse) -> None:
    row = finished(house.ledger)
    browser = house.console()
    at = f"{house.url}/console/clips/{row.id}/measure"
    refused = browser.post(at)
    assert refused.status_code == 503 and "no worker listens" in refused.json()["error"]
    house.ledger.register_worker(WORKER, WARM_QUEUES)
    assert "Asked a worker" in browser.post(at).json()["message"]


def test_what_is_no_labelled_clip_is_refused_in_words(house: ServedHouse) -> None:
    row = finished(house.ledger)
    browser = house.console()
    for rest, words in (
        (f"{'a' * 40}/state", "no job"),
        (f"{row.id}/frames/4.jpg", "frames 0 to 3"),
        ("x/frames/0.jpg", "40 characters"),
        (f"{row.id.upper()}/state", "40 characters"),
    ):
        answer = browser.get(f"{house.url}/console/clips/{rest}")
        assert answer.status_code == 422 and words in answer.json()["error"], rest
    gone = finished(house.ledger, 11, "gone")
    answer = browser.get(f"{house.url}/console/clips/{gone.id}/frames/0.jpg")
    assert answer.status_code == 422 and "gone from the media folder" in answer.json()["error"]
    assert browser.get(f"{house.url}/console/clips/{gone.id}/labels/0.png").status_code == 200


class Files:
    """Frames in one folder, counting how often one is looked up."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, 0

    def path(self, reference: str) -> Path:
        self.asked += 1
        return self.folder / reference.rpartition("/")[2]


def test_pictures_are_made_once_while_there_is_room_and_never_larger_than_is_shown(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    row = finished(ledger)
    for index in (0, 1):
        Pillow.new("RGB", (1400, 700), (200, 40 * index, 90)).save(tmp_path / f"{index:05d}.png")
    files = Files(tmp_path)
    roomy = ClipPictures(ledger, files, 10**7)
    pictures = [roomy.frame(row, index) for index in (0, 1, 0, 1)]
    assert files.asked == 2 and pictures[0] is pictures[2]
    assert Pillow.open(io.BytesIO(pictures[0])).size == (960, 480)
    narrow = ClipPictures(ledger, files, 10**7, kept_bytes=len(pictures[0]) + 100)
    for index in (0, 1, 0):
        narrow.frame(row, index)
    assert files.asked == 5, "the first gave way to the second"
    with pytest.raises(BadMedia, match="the limit is 1000 pixels"):
        ClipPictures(ledger, files, 1000).frame(row, 0)
    with pytest.raises(BadInput, match="frames 0 to 3"):
        roomy.labels(row, -1)


def test_labels_without_a_readable_colour_get_colours_of_their_own() -> None:
    names = [f"class {number}" for number in range(40)]
    payload = {"labels": dict.fromkeys(names, ()), "colours": {"class 0": "red", "class 1": "no colour"}}
    colours = label_colours(payload)
    assert colours["class 0"] == (255, 0, 0) and len(set(colours.values())) == 40
    assert label_colours({"labels": {"a": []}}).keys() == {"a"} and label_colours({}) == {}
