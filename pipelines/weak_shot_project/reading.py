"""A Label Studio project's photos with the tags and masks that people saved on them.

What cannot be used (skipped tasks, broken masks, pictures out of reach, ...) is told in a sentence each, and
the others go on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.anchors import FrameFiles
from backends.core.errors import BadLabelConfig, BadMedia
from backends.core.images import SUFFIXES, open_image
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.tags import tags_in_data
from pipelines.export.annotations import TaskWork, read_work
from pipelines.export.sources import MachineMasks, ShownCells, no_cells, no_machine
from pipelines.export.tasks import is_annotated, nothing_to_train_on, read_tasks, remarks
from pipelines.progress import Track, quiet
from pipelines.weak_shot_project.classes import ProjectPhoto

HELD_OUT_OF = 10
"""One painted photo in so many is held out."""

_FIRST_STEPS = "import photos, tag them and paint some"


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
    machine: MachineMasks = no_machine,
    proposals: ShownCells = no_cells,
    max_pixels: int = 50_000_000,
    progress: Track = quiet,
) -> ProjectReading:
    """Every task's tags and masks. Raises BadLabelConfig when the configuration has no tags or no brush,
    TooLittle when nothing can be used, LabelStudioDown, TokenRefused, and BadInput for an unknown project.
    """
    project = client.project(project_id)
    config = _checked(LabelConfig.parse(str(project.get("label_config") or "")))

    def has_work(listed: Mapping[str, Any]) -> bool:
        return is_annotated(listed) or bool(tags_in_data(listed.get("data") or {}, config).names)

    def use(task: Mapping[str, Any]) -> tuple[ProjectPhoto | None, Sequence[str]]:
        path, size_hw = _picture(task, config, files, max_pixels)
        task_id = int(task["id"])
        work = read_work(task, config, size_hw, machine(task_id), cells=proposals(task_id))
        return _photo(work, task, config, path, size_hw)

    found = read_tasks(client, project_id, has_work, use, progress)
    if not found.items:
        raise nothing_to_train_on(project_id, found.total, found.idle, found.notes, _FIRST_STEPS)
    return ProjectReading(project_id, config.objects, found.items, found.notes)


def _picture(
    task: Mapping[str, Any], config: LabelConfig, files: FrameFiles, max_pixels: int
) -> tuple[Path, tuple[int, int]]:
    """One task's picture and its (height, width). Raises BadInput or Unavailable."""
    path = files.path(config.frame_refs(task.get("data") or {})[0])
    if path.suffix.lower() not in SUFFIXES:
        raise BadMedia(f"{path.name}: a picture's name ends in {', '.join(sorted(SUFFIXES))}")
    return path, _size_hw(path, max_pixels)


def _photo(
    work: TaskWork, task: Mapping[str, Any], config: LabelConfig, path: Path, size_hw: tuple[int, int]
) -> tuple[ProjectPhoto | None, Sequence[str]]:
    """The photo of one task, or why there is none."""
    if work.cancelled and not work.opinions:
        return None, ["skipped by the annotator"]
    notes = remarks(work)
    tags = _tags(work, task.get("data") or {}, config)
    if not tags:
        return None, [*notes, "has neither tag nor mask"]
    held_out = work.mask_opinion is not None and _is_drawn(path.read_bytes())
    return ProjectPhoto(f"task-{work.task_id:06d}", path, size_hw, held_out, work, tags), notes


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
