"""The console's buttons of one project's loop. What they do comes from a Steering, handed in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from flask import Blueprint, Response, jsonify, request

from backends.core.errors import BadInput


class Steering(Protocol):
    """What a person can do to a project's loop. Each may raise a MaskLoopError; its words are shown."""

    def improve(self, project_id: int) -> str: ...

    def promote(self, project_id: int, run: str) -> str: ...

    def decline(self, project_id: int, run: str) -> str: ...

    def roll_back(self, project_id: int) -> str: ...

    def set_policy(self, project_id: int, values: Mapping[str, Any]) -> str: ...


def add_steering(pages: Blueprint, steering: Steering) -> None:
    """The actions below ``/console/projects/P``; the blueprint's own guards stand before them."""

    @pages.post("/projects/<int:project_id>/improve")
    def project_improve(project_id: int) -> Response:
        return jsonify(message=steering.improve(project_id))

    @pages.post("/projects/<int:project_id>/promote")
    def project_promote(project_id: int) -> Response:
        return jsonify(message=steering.promote(project_id, _run()))

    @pages.post("/projects/<int:project_id>/decline")
    def project_decline(project_id: int) -> Response:
        return jsonify(message=steering.decline(project_id, _run()))

    @pages.post("/projects/<int:project_id>/roll-back")
    def project_roll_back(project_id: int) -> Response:
        return jsonify(message=steering.roll_back(project_id))

    @pages.post("/projects/<int:project_id>/policy")
    def project_policy(project_id: int) -> Response:
        return jsonify(message=steering.set_policy(project_id, _body()))


def _run() -> str:
    """The run that the person saw when pressing: another one may wait by now."""
    run = _body().get("run")
    if not isinstance(run, str):
        raise BadInput('which run? The body wants its name, such as {"run": "0007-1a2b3c4d"}')
    return run


def _body() -> dict[str, Any]:
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise BadInput(f"the body wants a JSON object, got {type(body).__name__}")
    return body
