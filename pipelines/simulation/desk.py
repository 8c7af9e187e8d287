"""What an annotator's gestures set off: jobs in a ledger, carried out here and now by the worker's functions.

A clip becomes a task; what is asked for becomes a job named by its content, so what a killed simulation had
finished is found again, down to the last frame. Redis alone is left out: it only carries tickets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from backends.core.errors import BadInput, BadMedia, MaskLoopError
from backends.core.types import FrameMasks, Segmenter
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.media import FrameLocator
from backends.ledger import JobRow, Ledger
from backends.queues.requests import Request
from backends.registry import Registry
from backends.settings import Settings
from pipelines import jobs
from pipelines.simulation.studio import Studio
from pipelines.simulation.videos import TrueClip
from pipelines.working.collaborators import Collaborators, TaskFrames
from pipelines.working.sink import LabelStudioSink

PROJECT, ASIDE = 1, 2
"""The project that people work in, and one for what is only counted."""
_WORKER = "simulation"

Load = Callable[[Path, Settings, str], Segmenter]
"""Weights, settings, version -> its segmenter."""


class Models:
    """Versions of one algorithm, each loaded once; the first and the last that were asked for stay."""

    def __init__(self, algorithm: str, settings: Settings, load: Load) -> None:
        self.registry = Registry(settings.models_dir)
        self._algorithm, self._settings, self._load = algorithm, settings, load
        self._loaded: dict[str, Segmenter] = {}

    def __call__(self, version: str) -> Segmenter:
        """Raises BadInput for one that is not there."""
        if version not in self._loaded:
            weights = self.registry.find(self._algorithm, version).weights
            self._loaded = dict(list(self._loaded.items())[:1])
            self._loaded[version] = self._load(weights, self._settings, version)
        return self._loaded[version]

    def served(self) -> str:
        """The version that the project is served. Raises SetupFault where there is none."""
        return self.registry.served(self._algorithm, project=PROJECT).version


class Desk:
    """One annotator's. ``settings.media_root`` is the folder with the videos."""

    def __init__(self, settings: Settings, studio: Studio, models: Callable[[str], Segmenter]) -> None:
        self.studio, self.ledger = studio, Ledger(settings.ledger_path)
        self.locator = FrameLocator(
            settings.media_root, settings.label_studio_url, "", settings.data_dir / "cache"
        )
        self._settings, self._models = settings, models
        self._frames = TaskFrames(self.locator, settings.max_image_pixels)

    def config(self, project_id: int) -> LabelConfig:
        """The project's labelling configuration."""
        return LabelConfig.parse(self.studio.project(project_id)["label_config"])

    def task(self, project_id: int, clip: TrueClip) -> int:
        """The clip's task. Raises BadMedia for frames that are not in the folder with the videos."""
        root = self._settings.media_root.resolve()
        references = [f"/data/local-files/?d={quote(_below(path, root))}" for path in clip.paths]
        self.locator.paths(references[:1])
        return self.studio.put_task(project_id, {"frames": references, "clip": clip.name})

    def carry_out(self, request: Request) -> list[FrameMasks]:
        """All frames of a job, in the order in which they were finished.

        Raises MaskLoopError with the job's own words when it failed, BadInput when the result was refused.
        """
        row = self.ledger.want_job(request.wanted())
        if row.state in ("running", "cancelling"):  # whoever ran it was killed
            row = self.ledger.rescue(row.id, row.generation)
        row = self.ledger.requeue(row.id)
        if row.state == "queued":
            function = jobs.label_clip if row.kind == "label_clip" else jobs.propagate
            function(self._work(), row.id, row.generation)
        elif row.delivery == "pending":
            jobs.deliver(self._work(), row.id)
        row = self.ledger.job(row.id)
        if row.state != "done" or row.delivery in ("pending", "refused"):
            kind = BadInput if row.delivery == "refused" else MaskLoopError
            raise kind(f"task {row.task_id}: {row.error or row.delivery_error or row.state}")
        return self.ledger.frames(row.id)

    def close(self) -> None:
        """Let go of the ledger."""
        self.ledger.close()

    def _work(self) -> Collaborators:
        return Collaborators(
            self.ledger, _WORKER, segmenter=self._models, clip=self._frames, sink=self._sink, warm=lambda: ""
        )

    def _sink(self, row: JobRow) -> LabelStudioSink:
        return LabelStudioSink(
            cast(LabelStudioClient, self.studio),
            self.ledger,
            row.project_id,
            row.total,
            row.size_hw,
            _WORKER,
            self._settings.max_prediction_regions,
        )


def _below(path: Path, root: Path) -> str:
    found = path.resolve()
    if not found.is_relative_to(root):
        raise BadMedia(f"{path} leads out of {root}; --data has to hold the frames themselves")
    return found.relative_to(root).as_posix()


def on_frame(item: Mapping[str, Any]) -> int:
    """The frame that a region is on."""
    return int(item.get("item_index", 0))
