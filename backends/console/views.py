"""The console's routes. What is shown and done comes from a Board, handed in; this module knows only HTTP.

The page is plain HTML and renders itself from two JSON documents that it asks for again and again: ``state``
(cheap, every second or so) and ``tasks`` (asks Label Studio, so more rarely). Every change is a POST that
carries the session's CSRF token.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from datetime import timedelta
from typing import Any, Protocol

from flask import Blueprint, Response, jsonify, redirect, render_template, request, session, url_for

from backends.console.clip_views import ClipBoard, add_clip_pages
from backends.console.export_views import ExportBoard, add_export_routes
from backends.console.project_views import ProjectBoard, add_project_pages
from backends.console.steering_views import Steering, add_steering
from backends.core.errors import BadInput, MaskLoopError, Unavailable

SESSION_LIFETIME = timedelta(days=7)


class Board(Protocol):
    """What the console shows and can do. Every method may raise a MaskLoopError; its words are shown."""

    def state(self) -> dict[str, Any]:
        """Jobs, workers, the served model and notices, as JSON values."""
        ...

    def tasks(self) -> dict[str, Any]:
        """Open tasks of Label Studio, or why they cannot be listed."""
        ...

    def cancel(self, job_id: str) -> str: ...

    def retry(self, job_id: str) -> str: ...

    def propagate(self, task_id: int) -> str: ...

    def make_masks(self, project_id: int) -> str: ...

    def clear_notices(self) -> str: ...


class Doorkeeper(Protocol):
    """Who may come in; the server gives one that knows the secret."""

    def key_ok(self, key: str) -> bool: ...

    def host_ok(self, host: str) -> bool: ...

    def open(self, session: MutableMapping[str, Any]) -> None: ...

    def csrf_ok(self, session: MutableMapping[str, Any], token: str) -> bool: ...


def blueprint(
    board: Board,
    door: Doorkeeper,
    projects: ProjectBoard,
    clips: ClipBoard,
    exports: ExportBoard,
    steering: Steering,
) -> Blueprint:
    """The console under ``/console``."""
    pages = Blueprint(
        "console",
        __name__,
        url_prefix="/console",
        template_folder="templates",
        static_folder="static",
        static_url_path="/static",
    )
    pages.before_request(lambda: _refusal(door))
    _add_pages(pages, door)
    _add_documents(pages, board)
    _add_actions(pages, board)
    add_project_pages(pages, projects)
    add_clip_pages(pages, clips)
    add_export_routes(pages, exports)
    add_steering(pages, steering)
    pages.register_error_handler(MaskLoopError, _in_words)
    return pages


def _refusal(door: Doorkeeper) -> Response | tuple[Response, int] | tuple[str, int] | None:
    """Why this request may not go on, or None: wrong Host, no session, or a POST without the CSRF token."""
    if not door.host_ok(request.host):
        why = f"host {request.host!r} is not this server; add it to MASKLOOP_ALLOWED_HOSTS"
        return jsonify(error=why), 421
    if request.endpoint in ("console.login", "console.login_with_form", "console.static"):
        return None
    if not session.get("in"):
        if request.endpoint in ("console.page", "console.project", "console.clip"):
            return render_template("login.html", wrong=False), 401
        return jsonify(error="logged out: open the login link again"), 401
    if request.method == "POST" and not door.csrf_ok(session, request.headers.get("X-CSRF-Token", "")):
        return jsonify(error="the page is out of date: reload it and try again"), 403
    return None


def _add_pages(pages: Blueprint, door: Doorkeeper) -> None:
    @pages.get("", strict_slashes=False)
    def page() -> str:
        return render_template("board.html", csrf=session["csrf"])

    @pages.get("/login")
    def login() -> Any:
        key = request.args.get("key")
        if key is None:
            return render_template("login.html", wrong=False)
        return _enter(door, key)

    @pages.post("/login")
    def login_with_form() -> Any:
        return _enter(door, request.form.get("key", ""))


def _enter(door: Doorkeeper, key: str) -> Any:
    if not door.key_ok(key.strip()):
        return render_template("login.html", wrong=True), 401
    door.open(session)
    session.permanent = True
    return redirect(url_for("console.page"), code=303)  # so that the key is not in the address that stays


def _add_documents(pages: Blueprint, board: Board) -> None:
    @pages.get("/state")
    def state() -> Response:
        return jsonify(board.state())

    @pages.get("/tasks")
    def tasks() -> Response:
        return jsonify(board.tasks())


def _add_actions(pages: Blueprint, board: Board) -> None:
    def action(rule: str, name: str, do: Callable[..., str]) -> None:
        def view(**given: Any) -> Response:
            return jsonify(message=do(**given))

        pages.add_url_rule(rule, name, view, methods=["POST"])

    action("/jobs/<job_id>/cancel", "cancel", board.cancel)
    action("/jobs/<job_id>/retry", "retry", board.retry)
    action("/tasks/<int:task_id>/propagate", "propagate", board.propagate)
    action("/projects/<int:project_id>/make-masks", "make_masks", board.make_masks)
    action("/notices/clear", "clear_notices", board.clear_notices)


def _in_words(error: MaskLoopError) -> tuple[Response, int]:
    if isinstance(error, BadInput):
        return jsonify(error=str(error)), 422
    return jsonify(error=str(error)), 503 if isinstance(error, Unavailable) else 500
