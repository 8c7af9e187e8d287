"""Builders of what Label Studio sends to /predict, and a scripted Label Studio for what it answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from backends.core.types import Mask
from backends.labelstudio.rle import encode

SIZE_HW = (48, 64)

LABEL_CONFIG = (Path(__file__).parents[1] / "labelstudio_config" / "video_object.xml").read_text()


def disc(x: int, y: int, radius: int = 8, size_hw: tuple[int, int] = SIZE_HW) -> Mask:
    """(H, W) bool, a filled disc."""
    rows, columns = np.mgrid[: size_hw[0], : size_hw[1]]
    return np.asarray((columns - x) ** 2 + (rows - y) ** 2 <= radius**2, np.bool_)


def brush(region_id: str, object_id: str, frame: int, mask: Mask) -> dict[str, Any]:
    """A brush region as Label Studio saves it."""
    return {
        **_frame(region_id, frame, (mask.shape[0], mask.shape[1])),
        "type": "brushlabels",
        "from_name": "mask",
        "value": {"format": "rle", "rle": encode(mask), "brushlabels": [object_id]},
    }


def click(
    region_id: str, label: str, frame: int, x: float, y: float, *, positive: bool = True
) -> dict[str, Any]:
    """A smart click at pixel (x, y)."""
    value = {**_percent(x, y), "width": 0.3, "labels": [label], "keypointlabels": [label]}
    head = {**_frame(region_id, frame, SIZE_HW), "type": "keypointlabels", "from_name": "point"}
    return {**head, "is_positive": positive, "value": value}


def box(region_id: str, label: str, frame: int, corners: tuple[float, float, float, float]) -> dict[str, Any]:
    """A smart rectangle, corners (x0, y0, x1, y1) in pixels."""
    x0, y0, x1, y1 = corners
    size = _percent(x1 - x0, y1 - y0)
    value = {**_percent(x0, y0), "width": size["x"], "height": size["y"], "rotation": 0}
    head = {**_frame(region_id, frame, SIZE_HW), "type": "rectanglelabels", "from_name": "box"}
    return {**head, "value": {**value, "rectanglelabels": [label]}}


def draft(*results: dict[str, Any], draft_id: int = 3, at: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    """A saved draft of the asking user."""
    return {
        "id": draft_id,
        "user": "admin@example.com",
        "result": list(results),
        "annotation": None,
        "updated_at": at,
    }


def annotation(*results: dict[str, Any], at: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    """A submitted annotation."""
    return {"id": 6, "result": list(results), "was_cancelled": False, "updated_at": at, "created_at": at}


def frame_refs(n_frames: int, clip: str = "clips/bus") -> list[str]:
    """References to local files, as a task's data holds them."""
    return [f"/data/local-files/?d={clip}/{index:05d}.png" for index in range(n_frames)]


def task(task_id: int, n_frames: int, **parts: Any) -> dict[str, Any]:
    """A task as it stands in a request; ``parts``: annotations, drafts, predictions, data."""
    data = {"frames": frame_refs(n_frames), "clip": "bus"}
    return {"id": task_id, "data": data, "annotations": [], "predictions": [], "project": 16, **parts}


def batch(*tasks: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """ "Retrieve predictions"."""
    params = {"login": None, "password": None, "context": None}
    body = {"tasks": list(tasks), "project": "16.1795331125", "label_config": LABEL_CONFIG, "params": params}
    return {**body, **changes}


def interactive(one: dict[str, Any], gestures: Sequence[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """A smart click or box; no gestures: what the editor sends after Submit."""
    return batch(one, **{"params": {"context": {"result": list(gestures)}}, **changes})


def _frame(region_id: str, frame: int, size_hw: tuple[int, int]) -> dict[str, Any]:
    height, width = size_hw
    return {
        "id": region_id,
        "to_name": "img",
        "item_index": frame,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "origin": "manual",
    }


def _percent(x: float, y: float) -> dict[str, float]:
    return {"x": x / SIZE_HW[1] * 100, "y": y / SIZE_HW[0] * 100}


class ScriptedLabelStudio:
    """Answers the few GETs the backend sends, from ``documents`` (path -> JSON), or with ``status``.

    For what a real Label Studio cannot be made to do on demand: be slow, refuse, save a draft just now.
    """

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}
        self.status = 200
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.split("?")[0]
                outer.asked.append(path)
                known = path in outer.documents
                body = json.dumps(outer.documents.get(path, {"detail": "not found"})).encode()
                self.send_response(outer.status if outer.status != 200 or known else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def save_draft(self, task_id: int, *drafts: dict[str, Any]) -> None:
        """What the editor's autosave does."""
        self.documents[f"/api/tasks/{task_id}/drafts"] = list(drafts)

    def stop(self) -> None:
        """Close the port: from now on Label Studio is down."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
