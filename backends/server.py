"""The HTTP face toward Label Studio: /health /setup /predict /webhook /versions /metrics, and the console.

Nothing here knows an algorithm and nothing happens at import. Collaborators are handed to :func:`create_app`.
Errors are translated once, here: a person's or program's mistake to 4xx, an outage to 503, the rest to 500
with a number that stands in the log beside the traceback; a traceback never leaves in a body.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

from flask import Flask, Response, g, jsonify, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from backends import access
from backends.console import views
from backends.console.clip_views import ClipBoard
from backends.console.export_views import ExportBoard
from backends.console.project_views import ProjectBoard
from backends.console.steering_views import Steering
from backends.core.errors import BadInput, MaskLoopError, SetupFault
from backends.gate import Busy, Counters, Gate, label_text
from backends.labelstudio.context import parse_project
from backends.notices import Event, Notices
from backends.pointers import ALL
from backends.settings import Settings

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 32 * 1024 * 1024  # a draft with a hundred masks is below 1 MB; a batch of tasks is several
OPEN_ROUTES = frozenset({"health"})  # asked by container runtimes and by Label Studio before every use


class Predictor(Protocol):
    """What answers /predict: one entry per task, in the order of the tasks."""

    def answer(self, payload: dict[str, Any]) -> list[Any]: ...


class Gauges(Protocol):
    """Present values for /metrics: name -> list of (labels, value). Never raises."""

    def gauges(self) -> dict[str, list[tuple[dict[str, str], float]]]: ...


class Ear(Protocol):
    """Takes a webhook delivery as a reason to look at its project, and Start training as a wish."""

    def heard(self, event: Event) -> None:
        """Returns at once."""
        ...

    def start(self) -> object:
        """Look from a thread of its own from now on."""
        ...


@dataclass(frozen=True)
class Parts:
    """The collaborators of the server."""

    settings: Settings
    predictor: Predictor
    board: views.Board
    projects: ProjectBoard
    clips: ClipBoard
    gauges: Gauges
    notices: Notices
    served: Callable[[str, int], str]
    """A labelling configuration's XML and a project's number (0: any other) -> the version that serves it.

    Raises SetupFault when there is none. Must not import torch. An empty text means the video model.
    """
    versions: Callable[[], dict[str, Any]]
    """What /versions answers; raises SetupFault without a model."""
    gate: Gate
    counters: Counters
    saved: Callable[[dict[str, Any]], object]
    """What follows from a webhook delivery; returns at once and never raises."""
    exports: ExportBoard
    steering: Steering
    ear: Ear


class _Json(DefaultJSONProvider):
    """Compact JSON that refuses NaN: Label Studio could not read it."""

    sort_keys = False

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        kwargs.setdefault("separators", (",", ":"))
        return super().dumps(obj, allow_nan=False, **kwargs)


@dataclass(frozen=True)
class _Door:
    """The console's doorkeeper: knows the secret."""

    secret: str
    bound: str
    extra_hosts: str

    def key_ok(self, key: str) -> bool:
        return access.same(key, self.secret)

    def host_ok(self, host: str) -> bool:
        return access.host_allowed(host, self.bound, self.extra_hosts)

    def open(self, session: MutableMapping[str, Any]) -> None:
        access.open_session(session)

    def csrf_ok(self, session: MutableMapping[str, Any], token: str) -> bool:
        return access.csrf_ok(session, token)


def create_app(parts: Parts) -> Flask:
    """The application. Raises SetupFault when there is no secret, or a weak one on an open address."""
    settings = parts.settings
    secret = settings.shared_secret()
    if settings.host not in ("127.0.0.1", "::1", "localhost") and len(secret) < 16:
        raise SetupFault(
            f"the secret has {len(secret)} characters; on an address others can reach ({settings.host}) "
            "it needs at least 16: set MASKLOOP_SECRET, for example to the output of `openssl rand -hex 20`"
        )
    app = Flask("maskloop", static_folder=None)
    app.json = _Json(app)
    app.config.update(
        SECRET_KEY=access.cookie_key(secret),
        SESSION_COOKIE_NAME=access.COOKIE,
        SESSION_COOKIE_PATH="/console",
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_HTTPONLY=True,
        PERMANENT_SESSION_LIFETIME=views.SESSION_LIFETIME,
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
    )
    _add_guards(app, parts, secret)
    _add_protocol(app, parts)
    _add_reports(app, parts)
    _add_error_handlers(app, parts)
    door = _Door(secret, settings.host, settings.allowed_hosts)
    app.register_blueprint(
        views.blueprint(parts.board, door, parts.projects, parts.clips, parts.exports, parts.steering)
    )
    return app


def _add_guards(app: Flask, parts: Parts, secret: str) -> None:
    @app.before_request
    def check_secret() -> tuple[Response, int, dict[str, str]] | None:
        g.began = time.monotonic()
        if request.endpoint in OPEN_ROUTES or request.blueprint == "console":
            return None
        if access.program_allowed(request.headers, secret):
            return None
        why = f"wants the secret in {access.HEADER} or as the password of user {access.USER!r}"
        return jsonify(error=why), 401, {"WWW-Authenticate": 'Basic realm="maskloop", charset="UTF-8"'}

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers.update(access.HEADERS)
        if request.endpoint == "console.static":
            response.headers["Cache-Control"] = "no-cache"
        took_s = time.monotonic() - g.get("began", time.monotonic())
        route = request.endpoint or "unknown"
        parts.counters.add("maskloop_requests_total", route=route, status=str(response.status_code))
        parts.counters.add("maskloop_request_seconds_total", took_s, route=route)
        return response


def _add_protocol(app: Flask, parts: Parts) -> None:
    """The routes Label Studio calls. It waits 1 s for /health, 3 s for /setup, 1 s for a webhook."""

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "UP"}

    @app.post("/setup")
    def setup() -> dict[str, str]:
        body = request.get_json(silent=True)
        asked = body if isinstance(body, dict) else {}
        schema, project = asked.get("schema"), asked.get("project")
        number = parse_project(project) if project else ALL
        return {"model_version": parts.served(schema if isinstance(schema, str) else "", number)}

    @app.post("/predict")
    def predict() -> dict[str, Any]:
        with parts.gate.admit():
            return {"results": parts.predictor.answer(_body())}

    @app.get("/versions")
    def versions() -> dict[str, Any]:
        return parts.versions()

    @app.post("/webhook")
    def webhook() -> tuple[dict[str, str], int]:
        body = _body()
        event = webhook_event(body)
        parts.notices.record(event)
        parts.saved(body)
        parts.ear.heard(event)
        return {"status": "recorded"}, 202


def _add_reports(app: Flask, parts: Parts) -> None:
    @app.get("/metrics")
    def metrics() -> Response:
        lines = []
        for name, rows in parts.gauges.gauges().items():
            lines.append(f"# TYPE {name} gauge")
            lines += [f"{name}{label_text(labels)} {value:g}" for labels, value in rows]
        lines += ["# TYPE maskloop_predict_inside gauge", f"maskloop_predict_inside {parts.gate.inside}"]
        return Response(parts.counters.text() + "\n".join(lines) + "\n", mimetype="text/plain")


def _add_error_handlers(app: Flask, parts: Parts) -> None:
    @app.errorhandler(Busy)
    def busy(error: Busy) -> tuple[Response, int, dict[str, str]]:
        parts.notices.add("warning", f"A request was turned away: {error}.")
        return jsonify(error=str(error)), 503, {"Retry-After": str(error.retry_after_s)}

    @app.errorhandler(MaskLoopError)
    def refused(error: MaskLoopError) -> tuple[Response, int]:
        status = 422 if isinstance(error, BadInput) else 503
        return jsonify(error=str(error)), status

    @app.errorhandler(RequestEntityTooLarge)
    def too_large(error: RequestEntityTooLarge) -> tuple[Response, int]:
        limit = MAX_BODY_BYTES // 2**20
        parts.notices.add("error", f"A request of more than {limit} MB was refused: use shorter clips.")
        return jsonify(error=f"more than {limit} MB"), 413

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> tuple[Response, int]:
        return jsonify(error=error.name), error.code or 500

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> tuple[Response, int]:
        number = secrets.token_hex(4)
        log.error("error %s at %s", number, request.endpoint, exc_info=error)
        parts.notices.add(
            "error", f"Something unforeseen went wrong in MaskLoop: see error {number} in its log."
        )
        return jsonify(error="internal error", id=number), 500


def _body() -> dict[str, Any]:
    """The request's JSON object. Raises BadInput for anything else, too deep nesting included."""
    try:
        body = json.loads(request.get_data(cache=False))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the body is not JSON: {type(error).__name__}") from error
    if not isinstance(body, dict):
        raise BadInput(f"the body wants a JSON object, got {type(body).__name__}")
    return body


def webhook_event(payload: dict[str, Any]) -> Event:
    """What a webhook delivery says, checked field by field. Raises BadInput without a sensible action."""
    action = payload.get("action")
    if not isinstance(action, str) or not action or not action.isascii() or len(action) > 64:
        raise BadInput("a webhook delivery wants an 'action' such as ANNOTATION_CREATED")
    return Event(
        action,
        project_id=_id_in(payload, "project"),
        task_id=_id_in(payload, "task"),
        annotation_id=_id_in(payload, "annotation"),
    )


def _id_in(payload: dict[str, Any], key: str) -> int | None:
    item = payload.get(key)
    number = item.get("id") if isinstance(item, dict) else None
    if isinstance(number, bool) or not isinstance(number, int):
        return None
    return number if 0 <= number < 2**63 else None
