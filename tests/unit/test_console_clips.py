"""The routes of a labelled clip: a session for all of them, strict ids, pictures with their types."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.test_console import log_in, token
from tests.unit.test_server_access import AUTH, House

JOB = "1" * 40
ADDRESSES = [f"/console/clips/{JOB}{rest}" for rest in ("", "/state", "/frames/0.jpg", "/labels/1.png")]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize("address", ADDRESSES)
def test_everything_wants_a_session(house: House, address: str) -> None:
    assert house.http.get(address).status_code == 401
    assert house.http.get(address, headers=AUTH).status_code == 401, "a program's secret opens no page"
    assert house.clips.asked == []
    assert log_in(house).get(address).status_code == 200


def test_the_page_names_its_clip_and_holds_no_script(house: House) -> None:
    assert "Log in" in house.http.get(ADDRESSES[0]).text
    page = log_in(house).get(ADDRESSES[0]).text
    assert f'data-job="{JOB}"' in page and "clip.js" in page
    assert "style=" not in page and "onclick" not in page and "<script>" not in page


def test_pictures_come_as_what_they_are(house: House) -> None:
    client = log_in(house)
    frame, labels = client.get(ADDRESSES[2]), client.get(ADDRESSES[3])
    assert (frame.mimetype, frame.data[:2]) == ("image/jpeg", b"\xff\xd8")
    assert (labels.mimetype, labels.data[:4]) == ("image/png", b"\x89PNG")
    assert house.clips.asked == [("frame", (JOB, 0)), ("labels", (JOB, 1))]
    assert (
        frame.headers["Cache-Control"] == "no-store" and frame.headers["X-Content-Type-Options"] == "nosniff"
    )


@pytest.mark.parametrize(
    ("rest", "status"),  # 401: no route of the console, so the programs' guard answers
    [
        ("/clips/nope", 404),
        (f"/clips/{'G' * 40}", 404),
        (f"/clips/{'1' * 39}", 404),
        (f"/clips/{'2' * 40}/state", 422),
        (f"/clips/{JOB}/frames/-1.jpg", 401),
        (f"/clips/{JOB}/frames/1.png", 401),
        (f"/clips/{JOB}/frames/..%2f..%2fsecret.jpg", 401),
        (f"/clips/{JOB}/frames/1e3.jpg", 401),
    ],
)
def test_addresses_that_lead_nowhere(house: House, rest: str, status: int) -> None:
    answer = log_in(house).get("/console" + rest)
    assert answer.status_code == status and answer.json["error"]
    assert house.clips.asked == []


def test_measuring_is_a_post_with_the_token(house: House) -> None:
    client = log_in(house)
    address = f"/console/clips/{JOB}/measure"
    assert client.get(address).status_code == 401
    assert client.post(address).status_code == 403
    assert house.clips.asked == []
    assert client.post(address, headers={"X-CSRF-Token": token(client)}).json == {"message": "asked"}
    assert house.clips.asked == [("measure", JOB)]
