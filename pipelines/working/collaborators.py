"""What the jobs work with: ledger, warm models, frames, sink. A test hands the worker its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, urlsplit

from backends.catalogue import ALGORITHMS
from backends.core.errors import BadInput, SetupFault, Unavailable
from backends.core.frames import FolderFrames
from backends.core.types import Clip, PredictionSink, Segmenter
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.media import FrameLocator
from backends.ledger import JobRow, Ledger
from backends.notices import Notices
from backends.registry import Registry
from backends.settings import Settings
from pipelines.export.packed import pack_project
from pipelines.loop.report import make_report
from pipelines.progress import Track
from pipelines.working.life import Work
from pipelines.working.sink import LabelStudioSink

_WARM = "video_object"
"""Loaded when the worker starts; the others when a job first asks."""


def _unheard(level: str, text: str, task_id: int | None) -> None:
    """Nobody is told; the ledger has the job's error in any case."""


def _no_report(project_id: int, progress: Track) -> Mapping[str, Any]:
    raise SetupFault(f"this worker makes no reports, so none of project {project_id}")


def _no_export(project_id: int, format_name: str, progress: Track) -> str:
    raise SetupFault(f"this worker exports nothing, so not project {project_id} as {format_name}")


@dataclass
class Collaborators(Work):
    """Everything a job calls, each as narrow as it can be."""

    ledger: Ledger
    worker: str
    """This worker's name in the ledger."""
    segmenter: Callable[[str], Segmenter]
    """Model version -> warm segmenter. Raises Unavailable for one that answers for nobody any more."""
    clip: Callable[[JobRow], Clip]
    """The frames of a job. Raises BadMedia or Unavailable."""
    sink: Callable[[JobRow], PredictionSink]
    """Where a job's result goes."""
    tell: Callable[[str, str, int | None], None] = field(default=_unheard)
    """(level, words, task) for the console; never raises."""
    report: Callable[[int, Track], Mapping[str, Any]] = field(default=_no_report)
    """Makes a project's report and returns it. Raises Unavailable, BadInput, and what the progress does."""
    export: Callable[[int, str, Track], str] = field(default=_no_export)
    """Packs a project's work in a format for the console; what came of it, in words. Raises as ``report``."""


class ServedModels:
    """Segmenters of the versions that answer for somebody, at most ``settings.warm_models`` of them.

    Projects can have a version of their own, so several of one algorithm may be wanted in turn. What was
    asked for before a promotion is still made with the version that was asked for. Room is made by what is
    served to nobody any more, then by what was not asked for longest.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._registry = Registry(settings.models_dir)
        self._loaded: dict[str, Segmenter] = {}  # what was asked for last stands last

    def warm(self) -> str:
        """Load the video model that is served to all; returns its version. Raises SetupFault."""
        return self(self._registry.served(_WARM).version).version

    def __call__(self, version: str) -> Segmenter:
        """The segmenter of this version; raises Unavailable for one that was taken back from everybody."""
        algorithm = _algorithm(version)
        if algorithm not in ALGORITHMS:
            raise BadInput(f"this job wants model {version}; known are {', '.join(ALGORITHMS)}")
        if version not in self._registry.answering(algorithm):
            now = self._registry.served(algorithm).version
            raise Unavailable(
                f"this job wants model {version}, which was taken back; {now} is served now. Retry asks for "
                "the same with the version of now"
            )
        if version not in self._loaded:
            self._load(algorithm, version)
        self._loaded[version] = self._loaded.pop(version)
        return self._loaded[version]

    def _load(self, algorithm: str, version: str) -> None:
        weights = self._registry.find(algorithm, version).weights
        served = [name for name in self._loaded if self._is_served(name)]
        kept = served[max(0, len(served) - self._settings.warm_models + 1) :]
        self._loaded = {name: self._loaded[name] for name in kept}  # first: one more at once may not fit
        self._loaded[version] = ALGORITHMS[algorithm].load(weights, self._settings, version)

    def _is_served(self, version: str) -> bool:
        return version in self._registry.pointers(_algorithm(version)).values()


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

    def report(project_id: int, progress: Track) -> Mapping[str, Any]:
        return make_report(project_id, settings, progress=progress)

    def export(project_id: int, format_name: str, progress: Track) -> str:
        return pack_project(project_id, format_name, settings, progress=progress)[1]

    return Collaborators(
        ledger,
        worker,
        segmenter=model,
        clip=frames,
        sink=sink,
        warm=model.warm,
        tell=notices.add,
        report=report,
        export=export,
    )


def _algorithm(version: str) -> str:
    """``weak_shot-1a2b3c4d`` -> ``weak_shot``."""
    return version.rpartition("-")[0]


def _stem(reference: str) -> str:
    """``/data/local-files/?d=clip/00003.jpg`` -> ``00003``."""
    parts = urlsplit(reference)
    return PurePosixPath(parse_qs(parts.query).get("d", [parts.path])[0]).stem
