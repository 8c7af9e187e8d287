"""A Label Studio project of any kind as the clips and photos that people labelled, frame by frame.

What cannot be used is told in a sentence each, and the others go on. Nothing here knows a folder's layout.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from backends.anchors import FrameFiles
from backends.core.errors import BadLabelConfig, BadMedia
from backends.core.images import SUFFIXES, image_size
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.label_config import LabelConfig
from backends.next_clip import video_of
from backends.settings import Settings
from pipelines.export.annotations import TaskWork, read_work
from pipelines.export.sources import MachineMasks, ShownCells, no_cells, no_machine, opened
from pipelines.export.tasks import is_annotated, read_tasks, remarks
from pipelines.progress import Track, quiet

_LONGEST = 100  # characters of a clip's name
Kind = Literal["video_object", "video_semantic", "weak_shot"]


@dataclass(frozen=True)
class LabelledClip:
    """One task with its frames on disk and the work on them; a photo is a clip of one frame."""

    name: str
    """File-safe and unique in the project: the task data's ``clip``, or ``task-000007``."""
    video: str
    """What splits are made by: the clip's name without its number (``bus-36d8450bbb``)."""
    frames: tuple[Path, ...]
    """In the order of ``item_index``."""
    names: tuple[str, ...]
    """The frames' own stems, unique in the clip."""
    size_hw: tuple[int, int]
    """As the frames are shown, EXIF orientation applied."""
    work: TaskWork
    data: Mapping[str, Any] = field(repr=False)
    """The task's data."""


@dataclass(frozen=True)
class ProjectWork:
    """What people submitted in a project."""

    project_id: int
    title: str
    kind: Kind
    """By the labelling configuration."""
    labels: tuple[str, ...]
    """Of the brush, in the configuration's order."""
    clips: tuple[LabelledClip, ...]
    """Those with work that counts, by task."""
    notes: tuple[str, ...]
    """Sentences on what was skipped, cancelled, broken or deleted meanwhile."""
    tasks: int = 0
    """Of the whole project."""
    untouched: int = 0
    """Tasks in which nobody has saved anything."""
    label_config: str = field(default="", repr=False)
    """The configuration's XML."""


def work_of(project_id: int, settings: Settings, *, progress: Track = quiet) -> ProjectWork:
    """``read_project_work`` with the Label Studio, the files and the ledger that the settings name."""
    with opened(settings) as sources:
        return read_project_work(
            sources.client,
            project_id,
            sources.files,
            machine=sources.machine,
            proposals=sources.proposals,
            max_pixels=sources.max_pixels,
            progress=progress,
        )


def read_project_work(
    client: LabelStudioClient,
    project_id: int,
    files: FrameFiles,
    *,
    machine: MachineMasks = no_machine,
    proposals: ShownCells = no_cells,
    max_pixels: int = 50_000_000,
    progress: Track = quiet,
) -> ProjectWork:
    """Every task in which somebody submitted something, by task. An empty project has no clips.

    A task that was deleted meanwhile, whose frames are missing, broken or of several sizes, or that was
    skipped becomes a sentence in ``notes``. Raises BadLabelConfig for a configuration without a brush,
    LabelStudioDown, TokenRefused, and BadInput for an unknown project.
    """
    project = client.project(project_id)
    xml = str(project.get("label_config") or "")
    config = LabelConfig.parse(xml)
    kind = kind_of(config)
    reader = _ClipReader(config, kind, files, machine, proposals, max_pixels)
    found = read_tasks(client, project_id, is_annotated, reader.clip, progress)
    return ProjectWork(
        project_id,
        str(project.get("title") or ""),
        kind,
        config.objects,
        _uniquely_named(found.items),
        found.notes,
        found.total,
        found.idle,
        xml,
    )


def kind_of(config: LabelConfig) -> Kind:
    """What a configuration is for. Raises BadLabelConfig for one in which nobody can paint."""
    if not config.objects:
        raise BadLabelConfig(
            f"labelling configuration lacks BrushLabels with toName={config.image!r} and a <Label> in it, so "
            "there are no masks to read"
        )
    if not config.is_multi_image:
        return "weak_shot"
    return "video_semantic" if config.labels_clips else "video_object"


@dataclass(frozen=True)
class _ClipReader:
    config: LabelConfig
    kind: Kind
    files: FrameFiles
    machine: MachineMasks
    proposals: ShownCells
    max_pixels: int

    def clip(self, task: Mapping[str, Any]) -> tuple[LabelledClip | None, Sequence[str]]:
        """One task's clip, or why there is none. Raises BadInput or Unavailable."""
        saved = [a for a in task.get("annotations") or () if isinstance(a, dict)]
        if all(annotation.get("was_cancelled") for annotation in saved):
            return None, ["skipped by the annotator" if saved else "has no annotation any more"]
        references = self.config.frame_refs(task.get("data") or {})
        frames, size_hw = _frames(references, self.files, self.max_pixels)
        number = int(task["id"])
        work = read_work(
            task,
            self.config,
            size_hw,
            self.machine(number),
            n_frames=len(frames),
            cells=self.proposals(number),
        )
        if not self._counts(work):
            return None, [*remarks(work), "nobody painted a mask that can be used"]
        return _clip(task, references, frames, size_hw, work), remarks(work)

    def _counts(self, work: TaskWork) -> bool:
        chosen = work.mask_opinion
        return bool(work.tags) if self.kind == "weak_shot" else bool(chosen and chosen.masks)


def _frames(
    references: Sequence[str], files: FrameFiles, max_pixels: int
) -> tuple[tuple[Path, ...], tuple[int, int]]:
    """The files of all frames and their one (height, width), from the headers. Raises BadMedia, naming the
    frame by number and file alone: sentences go into manifests, which know no machine."""
    paths: list[Path] = []
    first_hw = (0, 0)
    for number, reference in enumerate(references):
        head = f"frame {number} of {len(references)}: " if len(references) > 1 else ""
        try:
            path = files.path(reference)
            size_hw = _size_hw(path, max_pixels)
        except BadMedia as error:
            raise BadMedia(f"{head}{error}") from error
        if not paths:
            first_hw = size_hw
        if size_hw != first_hw:
            raise BadMedia(
                f"{head}{path.name} is {size_hw[1]}x{size_hw[0]}, the first frame "
                f"{first_hw[1]}x{first_hw[0]}; put the clip's own frames back"
            )
        paths.append(path)
    return tuple(paths), first_hw


def _size_hw(path: Path, max_pixels: int) -> tuple[int, int]:
    if path.suffix.lower() not in SUFFIXES:
        raise BadMedia(f"{path.name}: a picture's name ends in {', '.join(sorted(SUFFIXES))}")
    try:
        return image_size(path, max_pixels=max_pixels)
    except BadMedia as error:
        raise BadMedia(str(error).replace(str(path), path.name)) from error


def _clip(
    task: Mapping[str, Any],
    references: Sequence[str],
    frames: tuple[Path, ...],
    size_hw: tuple[int, int],
    work: TaskWork,
) -> LabelledClip:
    data = task.get("data") or {}
    own = _safe(data.get("clip"))
    name = own or f"task-{work.task_id:06d}"
    names = tuple(map(_stem, references))
    if len(set(names)) < len(names) or not all(names):
        names = tuple(f"{number:05d}" for number in range(len(names)))
    return LabelledClip(name, video_of(own) if own else name, frames, names, size_hw, work, data)


def _safe(clip: object) -> str:
    """A clip's name that can be a folder's; empty when it has none."""
    text = clip if isinstance(clip, str) else ""
    return re.sub(r"[^\w.-]+", "-", text)[:_LONGEST].strip(".-")


def _stem(reference: str) -> str:
    """``/data/local-files/?d=clips/bus/00012.jpg`` -> ``00012``."""
    parts = urlsplit(reference)
    return PurePosixPath(parse_qs(parts.query).get("d", [parts.path])[0]).stem


def _uniquely_named(clips: Sequence[LabelledClip]) -> tuple[LabelledClip, ...]:
    """By task; of several tasks with one clip all but the first get their task's number as well."""
    seen: set[str] = set()
    found = []
    for clip in sorted(clips, key=lambda clip: clip.work.task_id):
        if clip.name.casefold() in seen:
            clip = replace(clip, name=f"{clip.name}-task-{clip.work.task_id:06d}")
        seen.add(clip.name.casefold())
        found.append(clip)
    return tuple(found)
