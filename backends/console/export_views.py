"""The console's routes of exports: ask for one, see what is finished, fetch it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from flask import Blueprint, Response, jsonify, request, send_file


class ExportBoard(Protocol):
    """What can be exported and fetched. Every method may raise a MaskLoopError; its words are shown."""

    def exports(self, project_id: int) -> dict[str, Any]:
        """Formats and finished files, as JSON values."""
        ...

    def export(self, project_id: int, format_name: str) -> str: ...

    def export_file(self, name: str) -> Path:
        """A finished export. Raises BadInput for a name that is none."""
        ...


def add_export_routes(pages: Blueprint, board: ExportBoard) -> None:
    """Routes below ``/console``; the blueprint's own guards stand before them."""

    @pages.get("/projects/<int:project_id>/exports")
    def exports(project_id: int) -> Response:
        return jsonify(board.exports(project_id))

    @pages.post("/projects/<int:project_id>/export")
    def export(project_id: int) -> Response:
        body = request.get_json(silent=True)
        wanted = body.get("format") if isinstance(body, dict) else None
        return jsonify(message=board.export(project_id, str(wanted or "")))

    @pages.get("/exports/<name>")
    def export_file(name: str) -> Response:
        return send_file(board.export_file(name), as_attachment=True)
