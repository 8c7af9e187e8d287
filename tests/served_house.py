"""The real server over HTTP with a real Redis and a real ledger, and a worker whose pace the test sets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import requests
import waitress
from requests import Response
from waitress import wasyncore

from backends import wsgi
from backends.core.types import FrameMasks
from backends.ledger import JobRow, Ledger
from backends.notices import Notices
from backends.queues import WARM_QUEUES
from backends.registry import Registry
from backends.server import create_app
from backends.settings import Settings
from pipelines.tag_masks import keep_drawn
from tests.predict_requests import SIZE_HW, ScriptedLabelStudio, disc

SECRET = "flow-secret-0123456789"
PATIENCE_S = 30.0
WORKER = "worker-of-the-test"


def wait_until(met: Callable[[], Any], what: str = "the condition") -> Any:
    """Poll until ``met()`` is truthy and return it; fails after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := met():
            return found
        time.sleep(0.01)
    raise AssertionError(f"{what} did not come within {PATIENCE_S:g} s")


class PacedWorker:
    """Does the ledger's side of a worker: each object moves two pixels to the right per frame.

    ``pause`` holds it before the next frame, ``fail_at`` fails there, ``vanish_from`` empties masks.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.go = threading.Event()
        self.go.set()
        self.stop_after: int | None = None
        self.fail_at: int | None = None
        self.vanish_from: int | None = None
        self.trust: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self.ledger.register_worker(WORKER, WARM_QUEUES)
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self.go.set()
        if self._thread.is_alive():
            self._thread.join(PATIENCE_S)
        self.ledger.forget_worker(WORKER)

    def _run(self) -> None:
        while not self._stop.is_set():
            for row in self.ledger.jobs(states=["queued"]):
                self.go.wait(PATIENCE_S)
                if started := self.ledger.start(row.id, row.generation, WORKER):
                    self._work(started)
            time.sleep(0.01)
        self.ledger.close()

    def _work(self, row: JobRow) -> None:
        if row.kind != "propagate":
            self._make_masks(row)
            return
        anchors = self.ledger.anchors(row.id)
        for index in range(row.total):
            if self.stop_after is not None and index >= self.stop_after:
                self.go.clear()
                self.stop_after = None
            self.go.wait(PATIENCE_S)
            if self._stop.is_set():
                return
            if index == self.fail_at:
                self.ledger.fail(row.id, row.generation, f"frame {index} cannot be decoded", 0.0)
                return
            masks, fixed = {}, set()
            for name in sorted({anchor.object_id for anchor in anchors}):
                mine = [anchor for anchor in anchors if anchor.object_id == name]
                near = min(mine, key=lambda anchor: abs(anchor.frame_index - index))
                masks[name] = np.roll(near.mask, 2 * (index - near.frame_index), axis=1)
                if near.frame_index == index:
                    fixed.add(name)
                elif self.vanish_from is not None and index >= self.vanish_from:
                    masks[name] = np.zeros_like(near.mask)
            frame = FrameMasks(index, masks, dict.fromkeys(masks, 0.9), frozenset(fixed))
            if self.ledger.put_frame(row.id, row.generation, frame) == "cancelling":
                self.ledger.finish_cancelled(row.id, row.generation, 0.0)
                return
        self.ledger.finish(row.id, row.generation, 0.1)

    def _make_masks(self, row: JobRow) -> None:
        """A disc for each tag, from left to right; ``trust`` says how sure of it the model is."""
        if self.fail_at is not None:
            self.ledger.fail(row.id, row.generation, "the picture cannot be decoded", 0.0)
            return
        boxes = {name: corners for name, *corners in row.payload["boxes"]}
        masks = {}
        for number, name in enumerate(row.payload["tags"]):
            x0, y0, x1, y1 = boxes.get(name, (8 + 20 * number, 16, 8 + 20 * number, 16))
            masks[name] = disc(round((x0 + x1) / 2), round((y0 + y1) / 2), 6, row.size_hw)
        frame = FrameMasks(0, masks, {name: self.trust.get(name, 0.9) for name in masks})
        kept = keep_drawn(frame, self.ledger.anchors(row.id))
        self.ledger.put_frame(row.id, row.generation, kept)
        self.ledger.finish(row.id, row.generation, 0.1)


class ServedHouse:
    """Everything a /predict touches. ``close`` ends all of it."""

    def __init__(self, folder: Path, redis_url: str, **changes: Any) -> None:
        self.label_studio = ScriptedLabelStudio()
        values = {
            "data_dir": folder,
            "secret": SECRET,
            "redis_url": redis_url,
            "label_studio_url": self.label_studio.url,
            "label_studio_token": "0123456789abcdef0123456789abcdef01234567",
            "media_root": folder / "media",
            "models_dir": folder / "models",
            "predict_budget_s": 20.0,
            "draft_wait_s": 1.0,
        }
        self.settings = Settings(**{**values, **changes})
        self.version = serve_a_model(self.settings.models_dir, folder)
        self.clip = write_clip(self.settings.media_root / "clips" / "bus", 6)
        self.ledger = Ledger(self.settings.ledger_path)
        self.notices = Notices(self.settings.ledger_path)
        self.worker = PacedWorker(self.ledger)
        self.clicks = wsgi.served_clicks(self.settings)  # GrabCut, unless a test prepares the network
        self.parts = wsgi.build_parts(self.settings, self.clicks)
        self._server = waitress.create_server(
            create_app(self.parts),
            host="127.0.0.1",
            port=0,
            threads=self.settings.max_waiting + 8,
        )
        self.url = f"http://127.0.0.1:{self._server.effective_port}"
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        # its own run() cannot be ended from another thread without closing sockets under a select()
        while not self._ends.is_set():
            wasyncore.loop(timeout=0.02, map=self._server._map, count=1)
        self._server.task_dispatcher.shutdown()
        wasyncore.close_all(self._server._map)

    def post(self, path: str, body: Any) -> Response:
        return requests.post(
            self.url + path, json=body, headers={"X-MaskLoop-Secret": SECRET}, timeout=PATIENCE_S
        )

    def predict(self, body: Any) -> list[Any]:
        """The results of a /predict that must answer 200."""
        answer = self.post("/predict", body)
        assert answer.status_code == 200, answer.text
        results: list[Any] = answer.json()["results"]
        return results

    def told(self) -> str:
        """All notices as one text."""
        return "\n".join(notice.text for notice in self.notices.recent(100))

    def console(self) -> requests.Session:
        """A logged-in browser session."""
        session = requests.Session()
        assert session.get(f"{self.url}/console/login", params={"key": SECRET}, timeout=PATIENCE_S).ok
        page = session.get(f"{self.url}/console", timeout=PATIENCE_S).text
        session.headers["X-CSRF-Token"] = page.split('name="csrf" content="')[1].split('"')[0]
        return session

    def close(self) -> None:
        self.worker.end()
        self.ledger.close()
        self._ends.set()
        self._thread.join(PATIENCE_S)
        self.label_studio.stop()


def serve_a_model(models_dir: Path, folder: Path, algorithm: str = "video_object") -> str:
    """A served version whose weights nobody loads here; returns its name."""
    weights = folder / "weights.safetensors"
    weights.write_bytes(b"not loaded by the server")
    registry = Registry(models_dir)
    version = registry.add(algorithm, weights).version
    registry.promote(algorithm, version)
    return version


def write_clip(folder: Path, n_frames: int) -> Path:
    """Frames with an orange disc at (20 + 2 i, 24) and a blue one at (46, 14) on green noise."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(7).integers(0, 30, (*SIZE_HW, 3), np.uint8)
    for index in range(n_frames):
        picture = noise + np.array([40, 110, 40], np.uint8)
        picture[disc(20 + 2 * index, 24)] = (230, 120, 20)
        picture[disc(46, 14, 6)] = (20, 60, 220)
        cv2.imwrite(str(folder / f"{index:05d}.png"), picture[:, :, ::-1])
    return folder
