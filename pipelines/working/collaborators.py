"""What the jobs work with: ledger, warm models, frames, sink. A test hands the worker its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import parse_qs, urlsplit

from backends.catalogue import ALGORITHMS
from backends.core.errors import BadInput, Unavailable
from backends.core.frames import FolderFrames
from backends.core.types import Clip, PredictionSink, Segmenter
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.media import FrameLocator
from backends.ledger import JobRow, Ledger
from backends.notices import Notices
from backends.registry import Registry
from backends.settings import Settings
from pipelines.working.sink import LabelStudioSink

_WARM = "video_object"
"""Loaded when the worker starts; the others when a job first asks."""


def _unheard(level: str, text: str, task_id: int | None) -> None:
    """Nobody is told; the ledger has the job's error in any case."""


@dataclass
class Collaborators:
    """Everything a job calls, each as narrow as it can be."""

    ledger: Ledger
    worker: str
    """This worker's name in the ledger."""
    segmenter: Callable[[str], Segmenter]
    """Model version -> warm segmenter. Raises Unavailable for a version that is not served any more."""
    clip: Callable[[JobRow], Clip]
    """The frames of a job. Raises BadMedia or Unavailable."""
    sink: Callable[[JobRow], PredictionSink]
    """Where a job's result goes."""
    warm: Callable[[], str]
    """Load the served model and return its version."""
    stopping: Callable[[], bool] = field(default=lambda: False)
    """True once the worker was asked to stop: give the job back between two frames."""
    tell: Callable[[str, str, int | None], None] = field(default=_unheard)
    """(level, words, task) for the console; never raises."""


class ServedModels:
    """The served version of each algorithm, loaded once and again when another one is promoted."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._registry = Registry(settings.models_dir)
        self._loaded: dict[str, Segmenter] = {}

    def warm(self, algorithm: str = _WARM) -> str:
        """Load what is served now, unless it is loaded; returns the version. Raises SetupFault."""
        served = self._registry.served(algorithm)
        loaded = self._loaded.get(algorithm)
        if loaded is None or loaded.version != served.version:
            self._loaded.pop(algorithm, None)  # two versions at once may not fit
            load = ALGORITHMS[algorithm].load
            self._loaded[algorithm] = load(served.weights, self._settings, served.version)
        return served.version

    def __call__(self, version: str) -> Segmenter:
        """The segmenter of this version; raises Unavailable when another one is served by now."""
        algorithm = version.rpartition("-")[0]
        if algorithm not in ALGORITHMS:
            raise BadInput(f"this job wants model {version}; known are {', '.join(ALGORITHMS)}")
        served = self.warm(algorithm)
        if served != version:
            raise Unavailable(f"this job wants model {version}, but {served} is served now; ask for it again")
        return self._loaded[algorithm]


class TaskFrames:
    """Job -> clip: Label Studio's frame references become files, opened when the network asks for them."""

    def __init__(self, locator: FrameLocator, max_pixels: int) -> None:
        self._locator = locator
        self._max_pixels = max_pixels

    def __call__(self, row: JobRow) -> Clip:
        """All frames are looked up at once, so a vanished folder is known before the first second of work."""
        refs = [str(ref) for ref in row.payload["frame_refs"]]
        paths = self._locator.paths(refs)
        frames = FolderFrames(paths, size_hw=row.size_hw, max_pixels=self._max_pixels)
        return Clip(f"task-{row.task_id}", frames, row.size_hw, tuple(map(_stem, refs)))


def build(settings: Settings, ledger: Ledger, worker: str) -> Collaborators:
    """The real ones. Nothing is loaded or connected yet."""
    model = ServedModels(settings)
    notices = Notices(settings.ledger_path)
    url, token = settings.label_studio_url, settings.label_studio_token
    locator = FrameLocator(
        settings.media_root, url, token, settings.data_dir / "cache", max_pixels=settings.max_image_pixels
    )

    def sink(row: JobRow) -> LabelStudioSink:
        # Impatient: the worker has other jobs, and a delivery is tried again with growing pauses.
        client = LabelStudioClient(url, token, timeout_s=10.0, get_attempts=1)
        return LabelStudioSink(
            client,
            ledger,
            row.project_id,
            row.total,
            row.size_hw,
            worker,
            settings.max_prediction_regions,
            tags=tuple(map(str, row.payload.get("tags", ()))),
        )

    frames = TaskFrames(locator, settings.max_image_pixels)
    return Collaborators(
        ledger, worker, segmenter=model, clip=frames, sink=sink, warm=model.warm, tell=notices.add
    )


def _stem(reference: str) -> str:
    """``/data/local-files/?d=clip/00003.jpg`` -> ``00003``."""
    parts = urlsplit(reference)
    return PurePosixPath(parse_qs(parts.query).get("d", [parts.path])[0]).stem
