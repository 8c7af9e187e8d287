"""A Label Studio project's photos with the tags and masks that people saved on them.

What cannot be used (skipped tasks, broken masks, pictures out of reach, ...) is told in a sentence each, and
the others go on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.anchors import FrameFiles
from backends.core.errors import (
    BadInput,
    BadLabelConfig,
    BadMedia,
    LabelStudioDown,
    TokenRefused,
    Unavailable,
)
from backends.core.images import SUFFIXES, open_image
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.connection import NotThere
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.tags import tags_in_data
from pipelines.export.annotations import TaskWork, read_work
from pipelines.progress import Track, quiet
from pipelines.weak_shot_project.classes import ProjectPhoto, TooLittle

HELD_OUT_OF = 10
"""One painted photo in so many is held out."""

MachineMasks = Callable[[int], Mapping[str, Collection[str]]]
"""Task -> region id -> digests of masks that were shown there (``Ledger.machine_digests``)."""


@dataclass(frozen=True)
class ProjectReading:
    """A project's photos with work on them; ``notes`` say, a sentence each, what could not be used."""

    project_id: int
    class_names: tuple[str, ...]
    photos: tuple[ProjectPhoto, ...]
    notes: tuple[str, ...]


def read_project(
    client: LabelStudioClient,
    project_id: int,
    files: FrameFiles,
    *,
    machine: MachineMasks = lambda task_id: {},
    max_pixels: int = 50_000_000,
    progress: Track = quiet,
) -> ProjectReading:
    """Every task's tags and masks. Raises BadLabelConfig when the configuration has no tags or no brush,
    TooLittle when nothing can be used, LabelStudioDown, TokenRefused, and BadInput for an unknown project.
    """
    project = client.project(project_id)
    config = _checked(LabelConfig.parse(str(project.get("label_config") or "")))
    total = int(project.get("task_number") or 0)
    notes: list[str] = []
    photos: list[ProjectPhoto] = []
    idle = 0
    for listed in progress(client.tasks(project_id), total=total, label="reading the project"):
        if not _has_work(listed, config):
            idle += 1
            continue
        found = _of_task(client, int(listed["id"]), config, files, machine, max_pixels)
        photos += found.photos
        notes += found.notes
    if not photos:
        raise TooLittle(_nothing(project_id, total, idle, notes))
    return ProjectReading(project_id, config.objects, tuple(photos), tuple(notes))


def unsubmitted(client: LabelStudioClient, project_id: int) -> str:
    """A sentence on work that is saved as a draft only, which nobody reads; empty when there is none."""
    tasks = client.tasks_with_drafts(project_id)
    if not tasks:
        return ""
    first = ", ".join(map(str, sorted(tasks)[:5]))
    return f"{len(tasks)} tasks hold work that is not submitted, which does not count (task {first})"


@dataclass(frozen=True)
class _Found:
    photos: tuple[ProjectPhoto, ...] = ()
    notes: tuple[str, ...] = ()


def _of_task(
    client: LabelStudioClient,
    task_id: int,
    config: LabelConfig,
    files: FrameFiles,
    machine: MachineMasks,
    max_pixels: int,
) -> _Found:
    """A task that cannot be used becomes a sentence; a Label Studio that is away ends the reading."""
    try:
        task = client.task(task_id)
    except NotThere:
        return _Found((), (f"task {task_id}: was deleted while the project was read",))
    try:
        return _photo(task, config, files, machine, max_pixels)
    except (LabelStudioDown, TokenRefused):
        raise
    except (BadInput, Unavailable) as error:
        return _Found((), (f"task {task_id}: {error}",))


def _photo(
    task: Mapping[str, Any], config: LabelConfig, files: FrameFiles, machine: MachineMasks, max_pixels: int
) -> _Found:
    """The photo of one task, or why there is none. Raises BadInput or Unavailable for its picture."""
    task_id = int(task["id"])
    path = files.path(config.frame_refs(task.get("data") or {})[0])
    if path.suffix.lower() not in SUFFIXES:
        raise BadMedia(f"{path.name}: a picture's name ends in {', '.join(sorted(SUFFIXES))}")
    height, width = _size_hw(path, max_pixels)
    work = read_work(task, config, (height, width), machine(task_id))
    if work.cancelled and not work.opinions:
        return _Found((), (f"task {task_id}: skipped by the annotator",))
    refused = [(opinion.annotation_id, why) for opinion in work.opinions for why in opinion.refused]
    notes = [f"task {task_id}: annotation {number}: {why}" for number, why in refused]
    tags = _tags(work, task.get("data") or {}, config)
    if not tags:
        return _Found((), (*notes, f"task {task_id}: has neither tag nor mask"))
    if len([o for o in work.opinions if o.masks]) > 1:
        notes.append(f"task {task_id}: {_two(work)}")
    held_out = work.mask_opinion is not None and _is_drawn(path.read_bytes())
    photo = ProjectPhoto(f"task-{task_id:06d}", path, (height, width), held_out, work, tags)
    return _Found((photo,), tuple(notes))


def _size_hw(path: Path, max_pixels: int) -> tuple[int, int]:
    """(height, width) as shown, of a picture that can be decoded whole. Raises BadMedia.

    The message names the file alone: sentences go into the manifest, whose digest knows no machine.
    """
    try:
        height, width, _ = open_image(path, max_pixels=max_pixels).shape
    except BadMedia as error:
        raise BadMedia(str(error).replace(str(path), path.name)) from error
    return height, width


def _is_drawn(picture: bytes) -> bool:
    """The same for the same picture, whatever else is in the project."""
    return int(hashlib.sha256(picture).hexdigest(), 16) % HELD_OUT_OF == 0


def _tags(work: TaskWork, data: Mapping[str, Any], config: LabelConfig) -> tuple[str, ...]:
    """What people say; the tags that came with the task count until somebody ticks some."""
    known = set(work.tags)
    if not any(opinion.has_ticked for opinion in work.opinions):
        known |= set(tags_in_data(data, config).names)
    return tuple(name for name in config.objects if name in known)


def _two(work: TaskWork) -> str:
    chosen = work.mask_opinion
    values = ", ".join(f"{label} {value:.2f}" for label, value in work.agreement().items())
    number = chosen.annotation_id if chosen else 0
    return f"several annotations with masks (IoU {values}): those of annotation {number} count, all are kept"


def _has_work(listed: Mapping[str, Any], config: LabelConfig) -> bool:
    """Whether it is worth asking for the task's annotations; a list without counts says nothing."""
    counts = [listed.get("total_annotations"), listed.get("cancelled_annotations")]
    if any(count is None for count in counts) or any(counts):
        return True
    return bool(tags_in_data(listed.get("data") or {}, config).names)


def _checked(config: LabelConfig) -> LabelConfig:
    missing = [tag for tag, there in (("Choices", config.tags), ("BrushLabels", config.mask)) if not there]
    if missing:
        raise BadLabelConfig(
            f"labelling configuration lacks {' and '.join(missing)} with toName={config.image!r}; "
            "compare labelstudio_config/weak_shot.xml"
        )
    if config.is_multi_image:
        raise BadLabelConfig(
            f"<Image name={config.image!r}> shows several pages; weak-shot training reads one picture per "
            f'task: value="${config.data_key}"'
        )
    return config


def _nothing(project_id: int, total: int, idle: int, notes: Sequence[str]) -> str:
    if not total:
        return f"project {project_id} has no tasks; import photos, tag them and paint some"
    first = f" (the first: {notes[0]})" if notes else ""
    return (
        f"project {project_id} has nothing to train on: of {total} tasks {idle} are not annotated and "
        f"{total - idle} cannot be used{first}"
    )
