"""What tests of trainings need beside a queue house: the training worker, wishes, and what a process left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

from backends import queues
from backends.ledger import JobRow
from backends.notices import Notices
from backends.queues import TRAIN, ImproveRequest
from tests.queue_house import ROOT, QueueHouse
from tests.training_stand_in import steps_made


class TrainingHouse:
    """A queue house with training workers in it."""

    def __init__(self, house: QueueHouse) -> None:
        self.house = house
        self.ledger, self.redis, self.settings = house.ledger, house.redis, house.settings
        self.until, self.until_state, self.kill = house.until, house.until_state, house.kill

    def start_trainer(self, **scene: object) -> subprocess.Popen[bytes]:
        """The real training worker with the stand-in cycle; ``scene``: its TRAINING_ settings."""
        env = os.environ | self.house.env | {f"TRAINING_{k.upper()}": str(v) for k, v in scene.items()}
        command = [sys.executable, "-m", "tests.training_stand_in", "worker"]
        worker = subprocess.Popen(command, env=env, cwd=ROOT)
        self.house.workers.append(worker)
        self.until(lambda: any(w.pid == worker.pid and w.state == "idle" for w in self.ledger.workers()))
        return worker

    def improve(self, project: int = 3, reason: str = "a test") -> JobRow:
        request = ImproveRequest(project, "video_object", reason)
        return queues.enqueue_improvement(self.ledger, self.redis, request)

    def steps(self, job_id: str) -> list[int]:
        return steps_made(self.settings, job_id)

    def until_steps(self, job_id: str, count: int) -> None:
        self.until(lambda: len(self.steps(job_id)) >= count)

    def process_of(self, worker: subprocess.Popen[bytes]) -> psutil.Process:
        """The training that this worker watches, once it is there."""
        found: list[psutil.Process] = []

        def look() -> bool:
            found[:] = psutil.Process(worker.pid).children()
            return bool(found)

        self.until(look)
        return found[0]

    def told(self) -> str:
        return "\n".join(notice.text for notice in Notices(self.settings.ledger_path).recent(100))

    def log(self, job_id: str) -> Path:
        return self.settings.data_dir / "logs" / "trainings" / f"{job_id[:12]}.log"

    def listens(self) -> bool:
        return bool(queues.workers_alive(self.ledger, TRAIN))
