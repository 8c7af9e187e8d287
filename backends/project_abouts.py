"""What Label Studio says of projects: a line each for the board, and one at a time for a project's page."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from backends.core.errors import MaskLoopError
from backends.labelstudio.label_config import LabelConfig
from backends.served_versions import KINDS, algorithm_of

_ASK_AGAIN_S = 60.0


class LabelStudioProjects(Protocol):
    """The one call that is needed; raises LabelStudioDown, TokenRefused or BadInput."""

    def project(self, project_id: int) -> dict[str, Any]: ...


@dataclass(frozen=True)
class About:
    """What Label Studio says of a project; ``kind`` is empty until it said something."""

    title: str = ""
    kind: str = ""
    error: str = ""


@dataclass
class ProjectAbouts:
    """Asks Label Studio behind the caller's back and keeps the answer for a minute."""

    label_studio: LabelStudioProjects
    behind: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="project-about")
    )
    _known: dict[int, About] = field(default_factory=dict)
    _asked_at: dict[int, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def known(self, project_id: int) -> About:
        """What is known by now; returns at once."""
        with self._lock:
            due = time.monotonic() - self._asked_at.get(project_id, float("-inf")) > _ASK_AGAIN_S
            if due:
                self._asked_at[project_id] = time.monotonic()
                self.behind.submit(self._ask, project_id)
            return self._known.get(project_id, About())

    def _ask(self, project_id: int) -> None:
        try:
            told = self.label_studio.project(project_id)
            config = str(told.get("label_config") or "")
            about = About(str(told.get("title") or ""), algorithm_of(config))
        except MaskLoopError as error:
            before = self._known.get(project_id, About())
            about = About(before.title, before.kind, str(error))
        with self._lock:
            self._known[project_id] = about


def shown_projects(projects: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line of the board's list for each project in which somebody can paint."""
    return [
        {
            "id": int(project["id"]),
            "title": str(project.get("title") or f"project {project['id']}"),
            "kind": kind,
            "tasks": int(project.get("task_number") or 0),
            "submitted": int(project.get("num_tasks_with_annotations") or 0),
        }
        for project in projects
        if (kind := _kind(str(project.get("label_config") or "")))
    ]


@functools.lru_cache(maxsize=64)
def _kind(xml: str) -> str:
    """The way of working in words; empty where nobody can paint."""
    try:
        is_ours = bool(LabelConfig.parse(xml).objects)
    except MaskLoopError:
        return ""
    return KINDS[algorithm_of(xml)] if is_ours else ""
