"""Exports from the console: asked for with a session and a token, one at a time, fetched by strict names."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from backends.export_shelf import home, listed, new_name
from backends.queues import EXPORT, EXPORT_FORMATS
from pipelines.export.formats import FORMATS
from tests.unit.test_console import log_in, token
from tests.unit.test_server_access import House

NAME = "project-3-davis-20260101-120000.zip"


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def client(house: House) -> FlaskClient:
    return log_in(house)


def put(folder: Path, name: str, data: bytes = b"PK") -> Path:
    path = home(folder) / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def ask(client: FlaskClient, body: object, project: int = 3) -> tuple[int, str]:
    headers = {"X-CSRF-Token": token(client)}
    answer = client.post(f"/console/projects/{project}/export", json=body, headers=headers)
    told = answer.json or {}
    return answer.status_code, str(told.get("message") or told.get("error"))


def test_the_server_knows_the_formats_that_are_written() -> None:
    assert tuple(FORMATS) == EXPORT_FORMATS


def test_one_is_asked_for_at_a_time(house: House, client: FlaskClient) -> None:
    assert client.post("/console/projects/3/export", json={"format": "coco"}).status_code == 403
    assert not house.ledger.jobs()
    assert ask(client, {"format": "coco"}) == (
        200,
        "Exporting as coco; the file appears here when it is done.",
    )
    assert ask(client, {"format": "coco"})[0] == 200
    assert "is being exported as coco" in ask(client, {"format": "voc"})[1]
    [row] = house.ledger.jobs()
    assert (row.kind, row.project_id, row.task_id, row.payload) == (EXPORT, 3, 0, {"format": "coco"})
    ask(client, {"format": "voc"}, project=4)
    assert len(house.ledger.jobs()) == 2, "another project's"


@pytest.mark.parametrize("body", [{}, {"format": "kitti"}, {"format": 3}, [], {"format": "../davis"}])
def test_an_unknown_format_is_refused(body: object, house: House, client: FlaskClient) -> None:
    status, words = ask(client, body)
    assert status == 422 and "there are davis, youtube-vos" in words
    assert not house.ledger.jobs()


def test_finished_ones_are_listed_and_fetched_with_a_session_only(
    house: House, client: FlaskClient, tmp_path: Path
) -> None:
    put(tmp_path, NAME, b"PK-first")
    put(tmp_path, "project-3-coco-20260102-120000.zip", b"PK-later")
    put(tmp_path, "project-33-coco-20260103-120000.zip")
    put(tmp_path, ".part-1.zip")
    told = client.get("/console/projects/3/exports").json
    assert [(file["format"], file["bytes"]) for file in told["files"]] == [("coco", 8), ("davis", 8)]
    assert told["formats"] == list(EXPORT_FORMATS)
    answer = client.get(f"/console/exports/{NAME}")
    assert answer.data == b"PK-first" and f"filename={NAME}" in answer.headers["Content-Disposition"]
    for path in (f"/console/exports/{NAME}", "/console/projects/3/exports"):
        assert house.app.test_client().get(path).status_code == 401


@pytest.mark.parametrize(
    "name",
    [
        *(
            "secret",
            "..%2fsecret",
            "%2e%2e%2fsecret",
            "project-3-davis-20260101-120000.zip%00",
            "%2fetc%2fpasswd",
        ),
        *("project-4-davis-20260101-120000.zip", "project-3-link-20260101-120000.zip", ".part-1.zip"),
    ],
)
def test_nothing_else_can_be_fetched(name: str, client: FlaskClient, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush")
    put(tmp_path, ".part-1.zip")
    link = put(tmp_path, NAME).with_name("project-3-link-20260101-120000.zip")
    link.symlink_to(tmp_path / "secret")
    answer = client.get(f"/console/exports/{name}")
    assert answer.status_code in (401, 404, 422) and b"hush" not in answer.data


def test_a_new_name_is_one_that_is_listed(tmp_path: Path) -> None:
    for format_name in EXPORT_FORMATS:
        put(tmp_path, new_name(7, format_name))
    assert len(listed(tmp_path, 7)) == len(EXPORT_FORMATS)
