"""The console's routes of one project. What is shown and done comes from a ProjectBoard, handed in.

Like the board's page it is plain HTML that draws itself: from ``state`` (live, asked every two seconds; never
waits for Label Studio) and from ``report`` (figures, asked when a newer one is there).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from flask import Blueprint, Response, jsonify, render_template, send_file, session


class ProjectBoard(Protocol):
    """What a project's page shows and can do. Every method may raise a MaskLoopError; its words are shown."""

    def state(self, project_id: int) -> dict[str, Any]:
        """What is served, what waits, jobs, policy and how old the report is, as JSON values."""
        ...

    def report(self, project_id: int) -> dict[str, Any]:
        """The last report. Raises BadInput where there is none, or none that can be read."""
        ...

    def example(self, project_id: int, run: str, name: str) -> Path:
        """A picture of a run, by its file's name. Raises BadInput for anything else."""
        ...

    def refresh(self, project_id: int) -> str: ...


def add_project_pages(pages: Blueprint, board: ProjectBoard) -> None:
    """The routes below ``/console/projects/P``; the blueprint's own guards stand before them."""

    @pages.get("/projects/<int:project_id>", strict_slashes=False)
    def project(project_id: int) -> str:
        return render_template("project.html", csrf=session["csrf"], project_id=project_id)

    @pages.get("/projects/<int:project_id>/state")
    def project_state(project_id: int) -> Response:
        return jsonify(board.state(project_id))

    @pages.get("/projects/<int:project_id>/report")
    def project_report(project_id: int) -> Response:
        return jsonify(board.report(project_id))

    @pages.get("/projects/<int:project_id>/runs/<run>/examples/<name>")
    def project_example(project_id: int, run: str, name: str) -> Response:
        return send_file(board.example(project_id, run, name))

    @pages.post("/projects/<int:project_id>/refresh")
    def project_refresh(project_id: int) -> Response:
        return jsonify(message=board.refresh(project_id))
