"""The real training worker, and the real process of a training, with a stand-in for what a cycle does.

``python -m tests.training_stand_in worker`` is the one, ``… process --job …`` the other. The environment sets
the scene, by ``TRAINING_`` names: ``STEP_S`` seconds per step; ``DIE_AT``, ``HANG_AT``, ``SPIN_AT``,
``DEAF_AT`` and ``CRASH_AT`` steps; ``MEMORY`` a file that counts processes killed for want of memory;
``PATIENCE_S`` what a cancelled training is given; ``PROMOTE`` that another version is served in the end. A
job's reason may name an error.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from pathlib import Path

from backends.core.errors import BadInput
from backends.ledger import JobRow, Ledger
from backends.registry import Registry
from backends.settings import Settings
from pipelines import train_worker, trainings
from pipelines.loop import process
from pipelines.services.supervisor import python_argv
from pipelines.working import training_process

STEPS = 8
OUTCOME = "video_object-1a2b3c4d is served: 3.2 points better on 2 held-out clips."
ERRORS = {
    "input": BadInput("project 3 has no submitted work: label a clip first"),
    "disk": OSError(errno.ENOSPC, "No space left on device", "weights.safetensors"),
    "memory": MemoryError(),
    "cuda": RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore lines"),
    "bug": ValueError("shapes differ"),
}


def scene(name: str, otherwise: str = "-1") -> str:
    return os.environ.get(f"TRAINING_{name}", otherwise)


def cycle(row: JobRow, settings: Settings, report: process.Report) -> str:
    """Steps that are noted in a file, on from those that stand there."""
    notes = steps_file(settings, row.id)
    notes.parent.mkdir(parents=True, exist_ok=True)
    for step in range(len(steps_made(settings, row.id)), STEPS):
        report(step, STEPS, "training")
        act(step)
        with notes.open("a") as stream:
            stream.write(f"{step}\n")
    if (name := str(row.payload["reason"])) in ERRORS:
        raise ERRORS[name]
    if scene("PROMOTE", ""):
        serve_another(settings, row.project_id)
    return OUTCOME


def serve_another(settings: Settings, project: int) -> None:
    """A version that nobody loads here, for this project."""
    weights = settings.data_dir / "another.safetensors"
    weights.write_bytes(b"made by a stand-in")
    registry = Registry(settings.models_dir)
    registry.promote("video_object", registry.add("video_object", weights).version, project)


def act(step: int) -> None:
    time.sleep(float(scene("STEP_S", "0")))
    if step == int(scene("DIE_AT")):
        os.kill(os.getpid(), signal.SIGKILL)
    if step == int(scene("CRASH_AT")):
        os.abort()
    if step == int(scene("DEAF_AT")):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    while step in (int(scene("HANG_AT")), int(scene("DEAF_AT"))):
        time.sleep(0.1)
    until = time.monotonic() + 3.0
    while step == int(scene("SPIN_AT")) and time.monotonic() < until:
        pass


def steps_file(settings: Settings, job_id: str) -> Path:
    return settings.data_dir / "loop" / f"{job_id}.txt"


def steps_made(settings: Settings, job_id: str) -> list[int]:
    """The steps that were made, in their order."""
    path = steps_file(settings, job_id)
    return [int(line) for line in path.read_text().split()] if path.is_file() else []


def _command(row: JobRow) -> tuple[str, ...]:
    return python_argv("tests.training_stand_in", "process", *trainings.process_arguments(row))


def _build(settings: Settings, ledger: Ledger, worker: str) -> trainings.TrainingWork:
    work = train_worker.build(settings, ledger, worker)
    work.command = _command
    return work


def worker() -> int:
    trainings.CANCEL_PATIENCE_S = float(scene("PATIENCE_S", "60"))
    if counter := scene("MEMORY", ""):
        training_process._CGROUP = Path(counter)
    return train_worker.main([], _build)


def child() -> int:
    process.REPORT_EVERY_S = 0.0  # each step is on record, so that a test may count them
    return process.main(sys.argv[2:], cycle)


if __name__ == "__main__":
    sys.exit({"worker": worker, "process": child}[sys.argv[1]]())
