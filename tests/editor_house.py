"""A whole MaskLoop with a tiny clip, for tests that work in the real editor."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image as Pillow

from backends.core.types import Mask
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.regions import Region, read_masks, unite
from backends.ledger import JobRow, Ledger
from backends.settings import Settings
from pipelines.services import installation
from tests import label_studio
from tests.up_process import UpProcess, wait_until

N_FRAMES = 6
SIZE_HW = (240, 426)
OBJECTS = ("object 1", "object 2")
_STEP_PX = 4  # how far the objects move per frame


def truth(index: int) -> NDArray[np.uint8]:
    """The index map of a frame, (240, 426) uint8: an ellipse (1) moves right, a box (2) left."""
    drawn = np.zeros(SIZE_HW, np.uint8)
    cv2.ellipse(drawn, (100 + _STEP_PX * index, 140), (48, 34), 15, 0, 360, (1,), -1)
    cv2.rectangle(drawn, (290 - _STEP_PX * index, 60), (360 - _STEP_PX * index, 125), (2,), -1)
    return drawn


def mask_of(name: str, index: int) -> Mask:
    """The true mask of an object."""
    return truth(index) == OBJECTS.index(name) + 1


def frame_picture(index: int) -> NDArray[np.uint8]:
    """The frame itself, RGB: both objects in plain colours on a darker textured ground."""
    noise = np.random.default_rng(3).integers(0, 40, (SIZE_HW[0] // 8, SIZE_HW[1] // 8), np.uint8)
    ground = cv2.resize(noise, SIZE_HW[::-1], interpolation=cv2.INTER_LINEAR)
    picture = np.dstack([ground + 30, ground + 60, ground + 50])
    for number, colour in ((1, (235, 200, 90)), (2, (90, 150, 235))):
        picture[truth(index) == number] = colour
    return np.asarray(cv2.GaussianBlur(picture, (3, 3), 0), np.uint8)


def write_frames(folder: Path) -> Path:
    """The clip as PNG files."""
    folder.mkdir(parents=True)
    for index in range(N_FRAMES):
        Pillow.fromarray(frame_picture(index)).save(folder / f"{index:05d}.png")
    return folder


class EditorHouse:
    """``maskloop up`` on the tiny clip; starts in seconds because Label Studio's database is a copy."""

    def __init__(self, folder: Path) -> None:
        self.up = UpProcess(folder / "data")
        self.up.data_dir.mkdir(parents=True)
        label_studio.copy_migrated(self.up.data_dir / "label-studio")
        self.login = installation.Login(label_studio.USERNAME, label_studio.PASSWORD, label_studio.TOKEN)
        installation.keep_login(self.up.data_dir, self.login)
        self._frames = write_frames(folder / "tiny")

    def start(self) -> None:
        self.up.start("--clip", str(self._frames))
        self.up.ensure_ready()

    @cached_property
    def settings(self) -> Settings:
        return self.up.settings

    @cached_property
    def client(self) -> LabelStudioClient:
        return LabelStudioClient(
            self.settings.label_studio_url, self.settings.label_studio_token, timeout_s=60
        )

    @cached_property
    def project(self) -> dict[str, Any]:
        return self.client.projects()[0]

    @cached_property
    def config(self) -> LabelConfig:
        return LabelConfig.parse(self.project["label_config"])

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.settings.ledger_path)

    @property
    def console_link(self) -> str:
        """The link that ``maskloop up`` printed."""
        line = next(line for line in self.up.output.splitlines() if "/console/login?key=" in line)
        return line.split()[-1]

    def new_task(self) -> int:
        """A task of its own with the clip's frames."""
        first = next(iter(self.client.tasks(self.project["id"])))
        [task] = self.client.import_tasks(self.project["id"], [{"data": first["data"]}])
        return task

    def until_drafted(self, task_id: int, region: str, limit_s: float = 60.0) -> None:
        """Wait for the editor's autosave to hold the region."""
        wait_until(
            lambda: any(draft.holds(region) for draft in self.client.drafts(task_id)),
            limit_s,
            lambda: f"no draft holds {region}",
        )

    def jobs(self, task_id: int) -> list[JobRow]:
        """The task's jobs, the last wanted first."""
        return self.ledger.jobs(task_id=task_id)

    def regions(self, result: list[dict[str, Any]]) -> list[Region]:
        """The regions of a result; none may be refused."""
        regions, refusals = read_masks(result, self.config, N_FRAMES, SIZE_HW)
        assert refusals == []
        return regions

    def masks(self, result: list[dict[str, Any]]) -> dict[tuple[str, int], Mask]:
        """(object, frame) -> mask; one region each."""
        regions = self.regions(result)
        places = [(region.object_id, region.frame_index) for region in regions]
        assert len(set(places)) == len(places), f"double: {sorted(places)}"
        return unite(regions)

    @contextmanager
    def no_worker(self) -> Iterator[None]:
        """Kill the worker, and each that is started in its place, until the block ends."""
        over = threading.Event()
        killer = threading.Thread(target=self._kill_workers, args=(over,))
        killer.start()
        try:
            yield
        finally:
            over.set()
            killer.join()

    def _kill_workers(self, over: threading.Event) -> None:
        assert self.up.process is not None
        supervisor = psutil.Process(self.up.process.pid)
        while not over.wait(0.05):
            for child in supervisor.children():
                try:
                    if "pipelines.worker" in child.cmdline():
                        child.kill()
                except psutil.NoSuchProcess:
                    continue

    def keep_logs(self, folder: Path) -> None:
        """Copy what all parts said."""
        folder.mkdir(parents=True, exist_ok=True)
        for log in (self.up.data_dir / "logs").glob("*.log"):
            shutil.copy(log, folder / log.name)
        (folder / "up.log").write_text(self.up.output)

    def close(self) -> None:
        if "ledger" in self.__dict__:
            self.ledger.close()
        self.up.end()
