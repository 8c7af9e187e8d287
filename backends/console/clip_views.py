"""The console's routes of one labelled clip. What is shown and done comes from a ClipBoard, handed in.

The page draws itself from ``state`` and plays two pictures per frame: the frame, and its labels to lay over.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

from flask import Blueprint, Response, abort, jsonify, render_template, session

_ID = re.compile(r"[0-9a-f]{40}")


class ClipBoard(Protocol):
    """What a clip's page shows and can do. Every method may raise a MaskLoopError; its words are shown."""

    def clip(self, job_id: str) -> dict[str, Any]:
        """What the clip is, its labels and how steady they are, as JSON values."""
        ...

    def frame(self, job_id: str, index: int) -> bytes:
        """A frame as a JPEG."""
        ...

    def labels(self, job_id: str, index: int) -> bytes:
        """The labels of a frame as a PNG."""
        ...

    def measure(self, job_id: str) -> str: ...


def add_clip_pages(pages: Blueprint, board: ClipBoard) -> None:
    """The routes below ``/console/clips/JOB``; the blueprint's own guards stand before them."""

    @pages.get("/clips/<job_id>", strict_slashes=False)
    def clip(job_id: str) -> str:
        if not _ID.fullmatch(job_id):
            abort(404)
        return render_template("clip.html", csrf=session["csrf"], job_id=job_id)

    @pages.get("/clips/<job_id>/state")
    def clip_state(job_id: str) -> Response:
        return jsonify(board.clip(job_id))

    @pages.get("/clips/<job_id>/frames/<int:index>.jpg")
    def clip_frame(job_id: str, index: int) -> Response:
        return Response(board.frame(job_id, index), mimetype="image/jpeg")

    @pages.get("/clips/<job_id>/labels/<int:index>.png")
    def clip_labels(job_id: str, index: int) -> Response:
        return Response(board.labels(job_id, index), mimetype="image/png")

    @pages.post("/clips/<job_id>/measure")
    def clip_measure(job_id: str) -> Response:
        return jsonify(message=board.measure(job_id))
