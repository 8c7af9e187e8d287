"""A small house for queue tests: real Redis, real ledger, real worker processes, a clip of drawn frames."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from redis import Redis

from backends import queues
from backends.core.types import FrameMasks, MaskPrompt
from backends.ledger import JobRow, Ledger, State
from backends.queues import PropagationRequest
from backends.settings import Settings, from_env
from tests.redis_server import RedisServer
from tests.stand_in import VERSION

SIZE_HW = (24, 32)
ROOT = Path(__file__).parents[1]


def disc(row: int = 8, column: int = 8, radius: int = 4) -> np.ndarray:
    """A filled circle on a frame of SIZE_HW."""
    rows, columns = np.ogrid[: SIZE_HW[0], : SIZE_HW[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def draw_frames(folder: Path, count: int, size_hw: tuple[int, int] = SIZE_HW) -> list[Path]:
    """PNG frames of seeded noise: what the stand-in reads out of them differs from frame to frame."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(7).integers(0, 256, (count, *size_hw, 3), dtype=np.uint8)
    paths = [folder / f"{index:05d}.png" for index in range(count)]
    for path, pixels in zip(paths, noise, strict=True):
        part = path.with_suffix(".part")
        PillowImage.fromarray(pixels).save(part, format="PNG")
        part.replace(path)  # a worker may be reading the old one
    return paths


def same_frames(a: Sequence[FrameMasks], b: Sequence[FrameMasks]) -> bool:
    """Equal masks, anchors and confidences on every frame, in whatever order."""
    return {f.frame_index: _facts(f) for f in a} == {f.frame_index: _facts(f) for f in b}


def _facts(frame: FrameMasks) -> object:
    masks = {name: mask.tobytes() for name, mask in frame.masks.items()}
    return masks, dict(frame.confidence), frame.anchors


class QueueHouse:
    """Ledger, queue and workers of one test; ``close`` ends what it started."""

    def __init__(self, folder: Path, server: RedisServer, **settings: str) -> None:
        self.server = server
        self.env = {
            "MASKLOOP_DATA_DIR": str(folder),
            "MASKLOOP_MEDIA_ROOT": str(folder / "media"),
            "MASKLOOP_REDIS_URL": server.url,
            "MASKLOOP_LABEL_STUDIO_URL": "http://127.0.0.1:9",  # nobody listens there
            "MASKLOOP_LABEL_STUDIO_TOKEN": "0" * 40,
            **settings,
        }
        self.settings: Settings = from_env(self.env)
        self.ledger = Ledger(self.settings.ledger_path)
        self.redis: Redis = queues.connect(self.settings)
        self.workers: list[subprocess.Popen[bytes]] = []

    def close(self) -> None:
        for process in self.workers:
            process.kill()
            process.wait()
        self.redis.close()
        self.ledger.close()

    def start_worker(self, *, wait: bool = True, **scene: object) -> subprocess.Popen[bytes]:
        """The real worker program with the stand-in model; ``scene``: its STAND_IN_ settings."""
        env = os.environ | self.env | {f"STAND_IN_{k.upper()}": str(v) for k, v in scene.items()}
        process = subprocess.Popen([sys.executable, "-m", "tests.stand_in"], env=env, cwd=ROOT)
        self.workers.append(process)
        if wait:
            self.until(lambda: any(w.pid == process.pid and w.state == "idle" for w in self.ledger.workers()))
        return process

    def kill(self, process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGKILL) -> None:
        process.send_signal(number)
        process.wait(timeout=30)

    def request(
        self, frames: int = 12, *, task: int = 1, deliver: bool = False, anchors: Sequence[MaskPrompt] = ()
    ) -> PropagationRequest:
        """A clip of its own for each task, one disc on frame 0 unless told otherwise."""
        draw_frames(self.settings.media_root / f"clip{task}", frames)
        refs = tuple(f"/data/local-files/?d=clip{task}/{index:05d}.png" for index in range(frames))
        given = tuple(anchors) or (MaskPrompt("object 1", 0, disc()),)
        return PropagationRequest(3, task, refs, SIZE_HW, given, VERSION, deliver)

    def enqueue(self, request: PropagationRequest) -> JobRow:
        return queues.enqueue_propagation(self.ledger, self.redis, request)

    def until(self, condition: Callable[[], object], limit_s: float = 60.0) -> None:
        """Wait for a condition; the limit is for a machine that is very busy."""
        deadline = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline, f"not within {limit_s:g} s; jobs: {self.ledger.jobs()}"
            time.sleep(0.02)

    def until_state(self, job_id: str, *states: State) -> JobRow:
        self.until(lambda: self.ledger.job(job_id).state in states)
        return self.ledger.job(job_id)

    def until_frames(self, job_id: str, count: int) -> JobRow:
        """At least so many frames are finished."""
        self.until(lambda: self.ledger.job(job_id).done >= count)
        return self.ledger.job(job_id)
