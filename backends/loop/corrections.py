"""What people submitted since a project's last run, as Label Studio itself tells it.

A webhook is never believed: it may come twice, late, or not at all. So the tasks are read, and compared with
the marks that the last run left: for each task, when anything about it had changed last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from backends.labelstudio.connection import NotThere
from backends.loop.files import read_json, write_json
from backends.loop.folder import ProjectFolder

_FILE = "seen.json"


class Tasks(Protocol):
    """What is asked of Label Studio; each raises LabelStudioDown, TokenRefused or BadInput."""

    def tasks(self, project_id: int) -> Iterable[dict[str, Any]]: ...

    def annotations(self, task_id: int) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class Marks:
    """What a run found submitted; times are Label Studio's own, in seconds since the epoch."""

    job: str = ""
    """Of the run that left them; empty: nobody did."""
    is_begun: bool = False
    """The run itself left them when it began, not who asked for it."""
    touched: Mapping[int, float] = field(default_factory=dict)
    """Task -> when anything about it had changed last."""


def read_marks(folder: ProjectFolder) -> Marks:
    """None where no run left any, or the file is spoilt: then all that is submitted counts as new."""
    told = read_json(folder.path / _FILE)
    try:
        touched = {int(task): float(at) for task, at in dict(told.get("tasks", {})).items()}
    except (TypeError, ValueError):
        return Marks()
    return Marks(str(told.get("job", "")), bool(told.get("begun", False)), touched)


def leave_marks(folder: ProjectFolder, label_studio: Tasks, job: str, *, is_begun: bool) -> Marks:
    """Remember what is submitted now as what ``job`` knows of.

    A run that begins again after it was killed keeps the marks that it left first: its snapshot is older than
    what is submitted by now.
    """
    before = read_marks(folder)
    if before.job == job and (before.is_begun or not is_begun):
        return before
    marks = Marks(job, is_begun, submitted(label_studio, folder.project_id))
    tasks = {str(task): at for task, at in sorted(marks.touched.items())}
    write_json(folder.path / _FILE, {"job": job, "begun": is_begun, "tasks": tasks})
    return marks


def submitted(label_studio: Tasks, project_id: int) -> dict[int, float]:
    """Task -> when anything about it changed last, of the tasks with submitted work (skipped: none)."""
    return {
        int(task["id"]): _seconds(task.get("updated_at"))
        for task in label_studio.tasks(project_id)
        if task.get("total_annotations")
    }


@dataclass
class Corrections:
    """Counts what is new. Remembers which tasks it looked into, so that a quiet project costs one listing."""

    label_studio: Tasks
    _looked_into: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Task -> when it had changed last, and when its newest annotation was saved."""

    def since(self, marks: Marks, project_id: int) -> dict[int, float]:
        """Task -> when it changed, of the tasks with work that was submitted after the marks.

        A task also changes when a prediction arrives or somebody skips it, so where the marks know a task
        already, the times of its annotations decide.
        """
        found = {}
        for task, touched in submitted(self.label_studio, project_id).items():
            before = marks.touched.get(task)
            if before is None:
                found[task] = touched
            elif touched > before and (saved := self._saved_at(task, touched)) > before:
                found[task] = saved
        return found

    def _saved_at(self, task: int, touched: float) -> float:
        """When the newest annotation of a task was saved; 0 when there is none (any more)."""
        known = self._looked_into.get(task)
        if known is not None and known[0] == touched:
            return known[1]
        try:
            annotations = self.label_studio.annotations(task)
        except NotThere:
            annotations = []
        counting = [a for a in annotations if not a.get("was_cancelled")]
        newest = max((_seconds(a.get("updated_at")) for a in counting), default=0.0)
        self._looked_into[task] = touched, newest
        return newest


def _seconds(stamp: object) -> float:
    """``2026-11-29T05:09:04.773329Z`` in seconds since the epoch; 0 for anything else."""
    try:
        return datetime.fromisoformat(str(stamp)).timestamp()
    except ValueError:
        return 0.0
