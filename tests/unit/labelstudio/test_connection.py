"""Label Studio down, slow, 401, 429, 500, moved: what is repeated, what is said, where the token goes."""

from __future__ import annotations

import base64
import json
import logging
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from backends.core.errors import BadInput, LabelStudioDown, MaskLoopError, SetupFault, TokenRefused
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.connection import Connection, NotThere
from tests.http_script import Answer, Asked, reply, scripted

TOKEN = "canary0123456789abcdef0123456789abcdef01"


def jwt(**claims: Any) -> str:
    def part(data: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256'})}.{part(claims)}.c2ln"


PERSONAL = jwt(token_type="refresh", exp=8_000_000_000)


def say(status: int, body: object = None, headers: dict[str, str] | None = None) -> Answer:
    raw = b"" if body is None else json.dumps(body).encode()
    return lambda asked, handler: reply(handler, status, raw, headers)


def in_turn(*answers: Answer) -> Answer:
    """Each answer once, the last one for ever."""
    left = list(answers)

    def answer(asked: Asked, handler: BaseHTTPRequestHandler) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(asked, handler)

    return answer


def fast(url: str, token: str = TOKEN, **options: Any) -> tuple[Connection, list[float]]:
    pauses: list[float] = []
    return Connection(url, token, sleep=pauses.append, **options), pauses


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_get_is_repeated_with_growing_pauses(status: int) -> None:
    with scripted(in_turn(say(status), say(status), say(200, {"ok": 1}))) as server:
        connection, pauses = fast(server.url)
        assert connection.get("/api/x") == {"ok": 1}
        assert len(server.asked) == 3 and pauses == [0.25, 0.5]


def test_a_pause_that_is_asked_for_is_kept_within_bounds() -> None:
    with scripted(
        in_turn(say(429, None, {"Retry-After": "2"}), say(429, None, {"Retry-After": "900"}), say(200))
    ) as server:
        connection, pauses = fast(server.url)
        connection.get("/api/x")
        assert pauses == [2, 5]


def test_repeating_ends() -> None:
    with scripted(say(503, {"detail": "warming up"})) as server:
        connection, pauses = fast(server.url)
        with pytest.raises(LabelStudioDown, match="503 to GET /api/x: warming up"):
            connection.get("/api/x")
        assert len(server.asked) == 4 and len(pauses) == 3


@pytest.mark.parametrize("method", ["post", "patch"])
def test_writing_is_never_repeated(method: str) -> None:
    with scripted(say(500, {"detail": "broken"})) as server:
        connection, _ = fast(server.url)
        with pytest.raises(LabelStudioDown, match="500"):
            getattr(connection, method)("/api/x", {})
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("status", "kind", "body", "says"),
    [
        (
            400,
            BadInput,
            {"detail": "Validation error", "validation_errors": {"title": ["too short"]}},
            "title: too short",
        ),
        (400, BadInput, ["odd"], "odd"),
        (409, BadInput, {"detail": "exists"}, "exists"),
        (404, NotThere, {"detail": "No Task"}, "nothing at /api/x: No Task"),
        (401, TokenRefused, {"detail": "Invalid token."}, "Invalid token"),
        (403, TokenRefused, {"detail": "not yours"}, "not yours"),
        (
            401,
            TokenRefused,
            {"detail": "legacy token authentication has been disabled"},
            "Access Token Settings",
        ),
    ],
)
def test_refusals_speak_and_are_not_repeated(
    status: int, kind: type[MaskLoopError], body: object, says: str
) -> None:
    with scripted(say(status, body)) as server:
        connection, pauses = fast(server.url)
        with pytest.raises(kind, match=says):
            connection.get("/api/x")
        assert len(server.asked) == 1 and pauses == []


def test_a_redirect_is_not_followed() -> None:
    with (
        scripted(say(200)) as other,
        scripted(say(302, None, {"Location": f"{other.url}/login?next=x"})) as server,
    ):
        connection, _ = fast(server.url)
        with pytest.raises(LabelStudioDown, match=f"redirects GET /api/x to {other.url}/login; set MASKLOOP"):
            connection.get("/api/x")
        assert other.asked == [] and len(server.asked) == 1


def test_a_slow_label_studio_is_given_up_in_time() -> None:
    with scripted(lambda asked, handler: time.sleep(3)) as server:
        connection, _ = fast(server.url, timeout_s=0.3, get_attempts=2)
        start = time.monotonic()
        with pytest.raises(LabelStudioDown, match=r"no answer to GET /api/x in 0\.3 s"):
            connection.get("/api/x")
        assert time.monotonic() - start < 2.5


@pytest.mark.parametrize("path", ["//evil.example/x", "http://evil.example/x", "x"])
def test_only_paths_of_label_studio_are_asked(path: str) -> None:
    connection, _ = fast("http://127.0.0.1:9")
    with pytest.raises(BadInput, match="no path below"):
        connection.get(path)


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://x", "http://", "", "http://ann:pw@host"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(SetupFault) as caught:
        Connection(url, TOKEN)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("token", ["", "  ", "two words", "new\nline", "ü" * 40])
def test_a_token_that_cannot_be_one_is_refused_before_sending(token: str) -> None:
    with scripted(say(200)) as server:
        with pytest.raises(TokenRefused, match="MASKLOOP_LABEL_STUDIO_TOKEN"):
            Connection(server.url, token).get("/api/x")
        assert server.asked == []


def test_an_access_token_is_told_from_a_personal_one() -> None:
    with pytest.raises(TokenRefused, match="lives five minutes"):
        Connection("http://127.0.0.1:9", jwt(token_type="access"))


def test_a_personal_token_is_sent_to_the_refresh_address_only() -> None:
    access = jwt(token_type="access", iat=100, exp=400)

    def answer(asked: Asked, handler: BaseHTTPRequestHandler) -> None:
        body = {"access": access} if asked.path == "/api/token/refresh/" else {}
        reply(handler, 200, json.dumps(body).encode())

    now = [0.0]
    with scripted(answer) as server:
        connection = Connection(server.url, PERSONAL, clock=lambda: now[0])
        connection.get("/api/x")
        connection.get("/api/x")
        now[0] = 269
        connection.get("/api/x")
        assert [a.path for a in server.asked].count("/api/token/refresh/") == 1
        now[0] = 271  # 30 s before the access token runs out
        connection.get("/api/x")
        assert [a.path for a in server.asked].count("/api/token/refresh/") == 2
        for asked in server.asked:
            if asked.path == "/api/x":
                assert asked.headers["Authorization"] == f"Bearer {access}" and not asked.body
            else:
                assert "Authorization" not in asked.headers


def test_nothing_secret_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with scripted(say(401, {"detail": "no"})) as server:
        client = LabelStudioClient(server.url, TOKEN)
        with pytest.raises(TokenRefused) as caught:
            client.whoami()
    shown = f"{client!r} {vars(client)} {client.connection!r} {caught.value!r} {caught.value.__cause__!r}"
    assert "canary" not in shown + caplog.text


def test_numbers_that_are_none_are_not_sent() -> None:
    with scripted(say(201, {"id": 1})) as server:
        connection, _ = fast(server.url)
        with pytest.raises(BadInput, match="JSON"):
            connection.post("/api/x", {"score": float("nan")})
        assert server.asked == []


RESULT = [{"id": "a", "value": {"rle": [1, 2]}}]


def stored(identity: int, result: object) -> dict[str, Any]:
    return {"id": identity, "model_version": "v", "result": result}


@pytest.mark.parametrize(
    ("there", "expected"),
    [([stored(3, []), stored(5, RESULT), stored(4, RESULT)], 5), ([stored(3, [])], None), ([], None)],
)
def test_a_prediction_whose_answer_was_lost_is_read_back(there: list[Any], expected: int | None) -> None:
    def answer(asked: Asked, handler: BaseHTTPRequestHandler) -> None:
        if asked.method == "POST":
            handler.close_connection = True  # stored, and the line breaks
        else:
            reply(handler, 200, json.dumps(there).encode())

    with scripted(answer) as server:
        client = LabelStudioClient(server.url, TOKEN)
        if expected is None:
            with pytest.raises(LabelStudioDown):
                client.create_prediction(1, RESULT, "v")
        else:
            assert client.create_prediction(1, RESULT, "v") == expected
        assert [a.method for a in server.asked].count("POST") == 1


@pytest.mark.parametrize("body", [b"<html>welcome</html>", b"[1]", b"null", b""])
def test_an_answer_that_is_not_label_studios_is_no_crash(body: bytes) -> None:
    with scripted(lambda asked, handler: reply(handler, 200, body)) as server:
        client = LabelStudioClient(server.url, TOKEN)
        assert client.health() is False
        for ask in (
            client.version,
            client.whoami,
            lambda: client.annotations(1),
            lambda: client.predictions(1),
        ):
            with pytest.raises(LabelStudioDown):
                ask()
