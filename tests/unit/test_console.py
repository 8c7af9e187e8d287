"""The console's door and buttons: session, CSRF, Host, and errors in words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from backends.console import views
from tests.unit.test_server_access import AUTH, SECRET, House


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def log_in(house: House) -> FlaskClient:
    client = house.app.test_client()
    assert client.get(f"/console/login?key={SECRET}").status_code == 303
    return client


def token(client: FlaskClient) -> str:
    page = client.get("/console").text
    found = re.search(r'name="csrf" content="([^"]+)"', page)
    assert found, page
    return found.group(1)


def test_the_login_link_opens_a_session_and_drops_the_key_from_the_address(house: House) -> None:
    client = house.app.test_client()
    answer = client.get(f"/console/login?key={SECRET}")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/console" in cookie
    assert SECRET not in cookie
    assert client.get("/console").status_code == 200
    assert SECRET not in client.get("/console").text


def test_the_form_opens_a_session_too(house: House) -> None:
    client = house.app.test_client()
    assert client.post("/console/login", data={"key": f" {SECRET}\n"}).status_code == 303
    assert client.get("/console/state").status_code == 200


@pytest.mark.parametrize("key", ["", "wrong", SECRET + "x", "ключ", "\ud800"], ids=range(5))
def test_a_wrong_key_gets_a_form_and_no_session(house: House, key: str) -> None:
    client = house.app.test_client()
    answer = client.get("/console/login", query_string={"key": key.encode("utf-8", "replace").decode()})
    assert answer.status_code == 401
    assert "not the key" in answer.text
    assert "Set-Cookie" not in answer.headers
    assert client.get("/console/state").status_code == 401


@pytest.mark.parametrize(
    "path", ["/console/state", "/console/tasks", "/console/projects/3/state", "/console/projects/3/report"]
)
def test_documents_want_a_session(house: House, path: str) -> None:
    assert house.http.get(path).status_code == 401
    assert log_in(house).get(path).status_code == 200


def test_the_programs_secret_does_not_open_the_console(house: House) -> None:
    """Otherwise a browser that remembers Basic credentials would send them along with a forged POST."""
    assert house.http.post("/console/jobs/j/cancel", headers=AUTH).status_code == 401


ACTIONS = [
    "/console/jobs/abc/cancel",
    "/console/tasks/7/propagate",
    "/console/projects/3/make-masks",
    "/console/projects/3/refresh",
    "/console/notices/clear",
    "/console/projects/3/improve",
    "/console/projects/3/roll-back",
]


@pytest.mark.parametrize("path", ACTIONS)
def test_every_action_wants_the_csrf_token(house: House, path: str) -> None:
    client = log_in(house)
    right = token(client)
    assert client.post(path).status_code == 403
    assert client.post(path, headers={"X-CSRF-Token": right[:-1]}).status_code == 403
    assert client.post(path, headers={"X-CSRF-Token": token(log_in(house))}).status_code == 403
    assert house.board.asked == []
    assert client.get(path, headers={"X-CSRF-Token": right}).status_code in (401, 404, 405)
    assert house.board.asked == house.steering.asked == []
    assert client.post(path, headers={"X-CSRF-Token": right}).status_code == 200


def test_actions_reach_the_board(house: House) -> None:
    client = log_in(house)
    headers = {"X-CSRF-Token": token(client)}
    assert client.post("/console/tasks/7/propagate", headers=headers).json == {"message": "queued"}
    assert client.post("/console/jobs/abc/cancel", headers=headers).json == {"message": "stopping"}
    assert client.post("/console/projects/3/make-masks", headers=headers).json == {"message": "reading"}
    assert house.board.asked == [("propagate", 7), ("cancel", "abc"), ("make masks", 3)]


def test_a_project_is_steered(house: House) -> None:
    client = log_in(house)
    headers = {"X-CSRF-Token": token(client)}
    for action, body in [
        ("improve", None),
        ("promote", {"run": "0007-1a2b3c4d"}),
        ("decline", {"run": "0007-1a2b3c4d"}),
        ("roll-back", None),
        ("policy", {"after_tasks": 5}),
    ]:
        answer = client.post(f"/console/projects/3/{action}", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
    assert house.steering.asked == [
        ("improve", 3),
        ("promote", 3, "0007-1a2b3c4d"),
        ("decline", 3, "0007-1a2b3c4d"),
        ("roll back", 3),
        ("policy", 3, {"after_tasks": 5}),
    ]


@pytest.mark.parametrize("action", ["promote", "decline", "policy"])
@pytest.mark.parametrize("body", ["", "[]", "{", '{"run": 7}'])
def test_a_body_that_says_nothing_steers_nothing(house: House, action: str, body: str) -> None:
    client = log_in(house)
    headers = {"X-CSRF-Token": token(client), "Content-Type": "application/json"}
    answer = client.post(f"/console/projects/3/{action}", data=body, headers=headers)
    if action == "policy" and body == '{"run": 7}':
        assert house.steering.asked == [("policy", 3, {"run": 7})]  # what may be set, the loop knows
        return
    assert answer.status_code == 422 and house.steering.asked == []


def test_an_outage_is_told_in_words(house: House) -> None:
    client = log_in(house)
    answer = client.post("/console/jobs/abc/retry", headers={"X-CSRF-Token": token(client)})
    assert answer.status_code == 503
    assert "maskloop up" in answer.json["error"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:9090", 200),
        ("127.0.0.1", 200),
        ("[::1]:9090", 200),
        ("masks.example.com", 200),
        ("evil.example.com", 421),
        ("127.0.0.1.evil.example.com", 421),
        ("localhost@evil.example.com", 421),
        ("0.0.0.0", 421),
        ("[", 421),
    ],
)
def test_only_known_host_names_reach_the_console(tmp_path: Path, host: str, status: int) -> None:
    house = House(tmp_path, host="0.0.0.0", allowed_hosts="other.example.com, masks.example.com")
    answer = house.http.get("/console/login", headers={"Host": host})
    assert answer.status_code in ((400, 421) if status == 421 else (200,))


def test_a_session_ends_when_the_secret_changes(tmp_path: Path) -> None:
    old = log_in(House(tmp_path))
    cookie = old.get_cookie("maskloop_console", path="/console")
    assert cookie is not None
    new = House(tmp_path, secret="another-secret-9876543210").app.test_client()
    new.set_cookie("maskloop_console", cookie.value, path="/console")
    assert new.get("/console/state").status_code == 401


def test_the_page_asks_nothing_of_other_hosts(house: House) -> None:
    client = log_in(house)
    page = client.get("/console").text
    for path in ("/console/static/console.css", "/console/static/console.js"):
        assert path in page
    for path in STATIC:
        text = client.get(f"/console/static/{path.name}").text
        links = set(re.findall(r"https?://[^\s\"']+", text)) - {SVG_NAMES}
        assert not links and "innerHTML" not in text, path.name
    assert "<script>" not in page and "style=" not in page and "onclick" not in page


STATIC = sorted((Path(views.__file__).parent / "static").iterdir())
SVG_NAMES = "http://www.w3.org/2000/svg"


def test_a_projects_page_knows_its_number_and_asks_for_the_key_first(house: House) -> None:
    logged_out = house.http.get("/console/projects/3")
    assert logged_out.status_code == 401 and 'name="key"' in logged_out.text
    client = log_in(house)
    page = client.get("/console/projects/3").text
    assert 'data-project="3"' in page and 'data-base="/console"' in page
    assert "<script>" not in page and "style=" not in page


def test_a_report_that_is_not_there_is_refused_in_words(house: House) -> None:
    answer = log_in(house).get("/console/projects/4/report")
    assert (answer.status_code, answer.json) == (
        422,
        {"error": "project 4 has no report yet; press Refresh"},
    )


def test_refresh_reaches_the_projects_board(house: House) -> None:
    client = log_in(house)
    answer = client.post("/console/projects/3/refresh", headers={"X-CSRF-Token": token(client)})
    assert answer.json == {"message": "making it"}
    assert house.projects.asked == [("refresh", 3)]


def test_a_picture_of_a_run_is_sent_as_one_and_wants_a_session(house: House) -> None:
    (house.projects.folder / "a.jpg").write_bytes(b"\xff\xd8")
    path = "/console/projects/3/runs/0001-1a2b3c4d/examples/a.jpg"
    assert house.http.get(path).status_code == 401
    answer = log_in(house).get(path)
    assert (answer.status_code, answer.mimetype, answer.data) == (200, "image/jpeg", b"\xff\xd8")
    assert house.projects.asked == [("example", (3, "0001-1a2b3c4d", "a.jpg"))]


@pytest.mark.parametrize("name", ["../../a.jpg", "..%2f..%2fa.jpg", "%2e%2e/a.jpg", "a/b.jpg"])
def test_a_pictures_name_is_one_part_of_the_address(house: House, name: str) -> None:
    answer = log_in(house).get(f"/console/projects/3/runs/0001-1a2b3c4d/examples/{name}")
    assert answer.status_code == 401, "no address of the console's"
    assert house.projects.asked == []
