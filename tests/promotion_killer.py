"""Kills cycles with -9 between the writing of their weights and their end, each in a process of its own.

``python -m tests.promotion_killer FOLDER TIMES``, light on purpose: no torch, so that a fork costs nothing.
Every other cycle is killed at the next file operation in turn, the others after a random time. A line of JSON
on standard output says of each what was served right after, and what in the end.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from backends.loop.folder import ProjectFolder
from backends.loop.policy import Policy
from backends.registry import Registry, version_of
from backends.settings import Settings
from pipelines.export.snapshot import Snapshot
from pipelines.loop import begin, candidate
from pipelines.loop.cycle import Outcome, Wishes, improve
from pipelines.loop.plan import Plan, data_of
from pipelines.loop.record import WEIGHTS, write_scores
from pipelines.loop.scores import Figure, Scores
from pipelines.loop.work import Report
from tests import loop_snapshots

PROJECT, ALGORITHM = 3, "video_semantic"
WORTH = 200_000  # numbers in a weights file, all of them the same: which cycle it comes from
TOUCHING = {"open", "os.rename", "os.mkdir", "os.remove", "shutil.copyfile", "fcntl.flock"}
"""File operations as Python's audit tells them."""


class House:
    """One installation whose trainings take no time."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data_dir=folder, models_dir=folder / "models")
        self.registry = Registry(self.settings.models_dir)
        self.folder = ProjectFolder(folder, PROJECT)
        self.snapshot = loop_snapshots.scenes(folder / "snapshots", frames=1)
        self.number = 0
        self.registry.promote(ALGORITHM, self.registry.add(ALGORITHM, weights(folder / "first", 0)).version)

    def take(self, *args: object, **how: object) -> Snapshot:
        return self.snapshot

    def improve(self, ready: Callable[[], None], *, fresh: bool) -> Outcome:
        """A cycle; ``ready`` is called when weights and scores are written."""

        def work(plan: Plan, settings: Settings, report: Report) -> None:
            path = weights(plan.run / WEIGHTS, self.number)
            scored = [
                Scores(version_of(ALGORITHM, one), "miou", points, {"sky": Figure(points, 4)}, data)
                for one, points in ((path, 80.0), (Path(plan.served), 70.0))
            ]
            write_scores(plan.run, *scored)
            ready()

        data = data_of(self.snapshot)
        wishes = Wishes(fresh=fresh, policy=Policy(promote="auto"))
        return improve(PROJECT, self.settings, wishes, say=lambda line: None, take=self.take, work=work)

    def loaded(self) -> tuple[str, int]:
        """The version that the project is answered by, and which cycle its numbers are of."""
        served = self.registry.served(ALGORITHM, project=PROJECT)
        numbers = load_file(served.weights)["numbers"]
        assert numbers.shape == (WORTH,) and (numbers == numbers[0]).all()
        assert self.registry.find(ALGORITHM, served.version) == served
        return served.version, int(numbers[0])


def weights(path: Path, number: int) -> Path:
    save_file({"numbers": np.full(WORTH, number, np.float32)}, path)
    return path


def die_at(operation: int) -> None:
    """From now on this process kills itself at its n-th file operation."""
    left = operation

    def count(event: str, arguments: object) -> None:
        nonlocal left
        if event in TOUCHING:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def kill_one(house: House, operation: int | None, within_s: float) -> tuple[bool, float]:
    """A cycle in a process of its own, killed; whether it died of it, and the seconds from weights to end."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)

        def ready() -> None:
            os.write(write, b".")
            if operation is not None:
                die_at(operation)

        house.improve(ready, fresh=True)
        os._exit(0)
    os.close(write)
    assert os.read(read, 1) == b".", "the cycle ended before its weights were written"
    os.close(read)
    begun = time.monotonic()
    if operation is None:
        time.sleep(random.uniform(0.0, within_s))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "it failed by itself"
    return os.WIFSIGNALED(status), time.monotonic() - begun


def main(folder: Path, times: int) -> None:
    for module in (begin, candidate):  # asking git takes longer than everything else here
        module.code_revision = lambda: "a test"  # type: ignore[attr-defined]
    random.seed(0)
    house = House(folder)
    house.number = 1
    _, takes_s = kill_one(house, 10**6, 0.0)
    operation = 0
    for number in range(2, times + 2):
        house.number = number
        old, _ = house.loaded()
        at = operation if number % 2 == 0 else None
        died, _ = kill_one(house, at, takes_s)
        operation = operation + 1 if died and at is not None else operation if at is None else 0
        told: dict[str, Any] = {"number": number, "at": at, "died": died, "old": old}
        cycle = house.folder.cycles()[0]
        made = version_of(ALGORITHM, cycle.run / WEIGHTS)
        is_added = (house.settings.models_dir / ALGORITHM / made / "weights.safetensors").is_file()
        told |= {"stage": cycle.stage, "made": made, "is_added": is_added, "after": house.loaded()}
        house.improve(lambda: None, fresh=False)
        told |= {"outcome": house.folder.cycle(cycle.name).outcome, "end": house.loaded()}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
