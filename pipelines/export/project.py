"""A Label Studio project of any kind as the clips and photos that people labelled, frame by frame.

What cannot be used is told in a sentence each, and the others go on. Nothing here knows a folder's layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines.export.annotations import TaskWork

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
