"""What the console shows and does, put together from ledger, queue, notices and Label Studio."""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from backends.anchors import Anchors, Work, delivered, latest_work
from backends.core.errors import MaskLoopError
from backends.labelstudio.drafts import Draft
from backends.labelstudio.label_config import LabelConfig, refuse_unusable
from backends.ledger import JobRow, Ledger, WorkerRow
from backends.notices import Notices
from backends.project_abouts import shown_projects
from backends.queues import PropagationRequest
from backends.queues.requests import LABEL_CLIP
from backends.shown_names import clip_name, is_of_pictures, job_name
from backends.tag_board import TagBoard

JOBS_SHOWN = 30
NOTICES_SHOWN = 20
TASKS_SHOWN = 100
TASKS_READ = 500  # of each project
TASKS_FRESH_S = 8.0  # several open consoles ask Label Studio once


class LabelStudio(Protocol):
    """The calls the console needs; each raises LabelStudioDown, TokenRefused or BadInput."""

    def projects(self) -> list[dict[str, Any]]: ...

    def project(self, project_id: int) -> dict[str, Any]: ...

    def tasks(self, project_id: int) -> Iterable[dict[str, Any]]: ...

    def tasks_with_drafts(self, project_id: int) -> set[int]: ...

    def task(self, task_id: int) -> dict[str, Any]: ...

    def annotations(self, task_id: int) -> list[dict[str, Any]]: ...

    def drafts(self, task_id: int) -> list[Draft]: ...


@dataclass(frozen=True)
class Queue:
    """The verbs of the queue, bound to one ledger and one Redis."""

    enqueue: Callable[[PropagationRequest], JobRow]
    cancel: Callable[[str], JobRow]
    retry: Callable[[str], JobRow]
    workers_alive: Callable[[], list[WorkerRow]]
    ensure_up: Callable[[], None]


@dataclass
class _Kept:
    """The last listing of open tasks and when it was made."""

    listing: dict[str, Any] = field(default_factory=dict)
    at: float = float("-inf")


class ConsoleBoard:
    """The console's Board and the server's Gauges."""

    def __init__(
        self,
        ledger: Ledger,
        queue: Queue,
        notices: Notices,
        anchors: Anchors,
        label_studio: LabelStudio,
        served: Callable[[], dict[str, Any]],
        public_url: str,
        tag_board: TagBoard,
        clips: Callable[[], dict[str, Any]],
    ) -> None:
        self._ledger = ledger
        self._queue = queue
        self._notices = notices
        self._anchors = anchors
        self._label_studio = label_studio
        self._served = served
        self._public_url = public_url.rstrip("/")
        self._tag_board = tag_board
        self._clips = clips
        self._kept = _Kept()
        self._listing = threading.Lock()
        self._seen: dict[int, Mapping[str, Any]] = {}

    def state(self) -> dict[str, Any]:
        """Jobs, workers, the served model and notices."""
        now = time.time()
        return {
            "jobs": [self._job(row, now) for row in self._ledger.jobs(limit=JOBS_SHOWN)],
            "workers": [{"name": row.name, "state": row.state} for row in self._queue.workers_alive()],
            "queue": _told(self._queue.ensure_up, {}),
            "model": _told(self._served, {"version": "", "own": []}),
            "notices": [vars(notice) for notice in self._notices.recent(NOTICES_SHOWN)],
            "review": self._tag_board.review(),
            "clips": self._clips(),
        }

    def _job(self, row: JobRow, now: float) -> dict[str, Any]:
        started, ended = row.started_at, row.finished_at
        return {
            "id": row.id,
            "task_id": row.task_id,
            "clip": job_name(row),
            "where": f"task {row.task_id}" if row.task_id else f"project {row.project_id}",
            "unit": "steps" if row.task_id == 0 else "pictures" if is_of_pictures(row) else "frames",
            "state": row.state,
            "done": row.done,
            "total": row.total,
            "started_at": started,
            "took_s": None if started is None else max(0.0, (ended or now) - started),
            "error": row.error or row.delivery_error,
            "note": row.stage or (DELIVERY_NOTES.get(row.delivery, "") if row.state == "done" else ""),
            "can_cancel": row.state in ("queued", "running"),
            "can_retry": row.state in ("failed", "cancelled") or row.delivery == "refused",
            "editor_url": self._editor(row.project_id, row.task_id) if row.task_id else "",
            "project_path": "" if row.task_id else f"/projects/{row.project_id}",
            "clip_path": f"/clips/{row.id}" if row.kind == LABEL_CLIP else "",
            "model_version": row.model_version,
        }

    def _editor(self, project_id: int, task_id: int) -> str:
        return f"{self._public_url}/projects/{project_id}/data?task={task_id}"

    def tasks(self) -> dict[str, Any]:
        """Open tasks, those with masks and the newest first; ``error`` in words when there is no answer."""
        with self._listing:
            if time.monotonic() - self._kept.at > TASKS_FRESH_S:
                listing = _told(self._list, {"projects": [], "tasks": [], "tag_projects": []})
                self._kept = _Kept({**listing, "label_studio_url": self._public_url}, time.monotonic())
            return self._kept.listing

    def _list(self) -> dict[str, Any]:
        projects = self._label_studio.projects()
        return {
            "projects": shown_projects(projects),
            "tasks": self._open_tasks(projects),
            "tag_projects": self._tag_board.projects(projects),
        }

    def _open_tasks(self, projects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        seen: dict[int, Mapping[str, Any]] = {}
        for project in projects:
            config = _usable_config(str(project.get("label_config") or ""))
            if config is None:
                continue
            number = int(project["id"])
            drafted = self._label_studio.tasks_with_drafts(number)
            for task in itertools.islice(self._label_studio.tasks(number), TASKS_READ):
                seen[int(task["id"])] = task = {**task, "project": number, "draft": task["id"] in drafted}
                found.append(self._task(project, task, config))
        self._seen = seen
        # what can be propagated now comes first: a task without any mask has nothing to carry
        ranked = sorted(found, key=lambda task: (not task["has_work"], task["is_labeled"], -task["id"]))
        return ranked[:TASKS_SHOWN]

    def _task(
        self, project: Mapping[str, Any], task: Mapping[str, Any], config: LabelConfig
    ) -> dict[str, Any]:
        data = task.get("data")
        refs = data.get(config.data_key) if isinstance(data, dict) else None
        name = data.get("clip") if isinstance(data, dict) else None
        return {
            "id": int(task["id"]),
            "clip": str(name or clip_name(refs)),
            "project": str(project.get("title") or f"project {project['id']}"),
            "frames": len(refs) if isinstance(refs, list) else 0,
            "masks": _work_so_far(task),
            "has_work": bool(task.get("is_labeled") or task["draft"]),
            "is_labeled": bool(task.get("is_labeled")),
            "editor_url": self._editor(int(project["id"]), int(task["id"])),
        }

    def cancel(self, job_id: str) -> str:
        """Stop a job."""
        row = self._queue.cancel(job_id)
        if row.state == "cancelling" and row.task_id == 0:
            return "Stopping; what is finished of it is kept."
        if row.state == "cancelling":
            return "Stopping after the frame that is being worked on; finished frames are kept."
        return "Cancelled." if row.state == "cancelled" else f"Nothing to cancel: the job is {row.state}."

    def retry(self, job_id: str) -> str:
        """Go on with a job, or deliver its result again."""
        row = self._queue.retry(job_id)
        if row.id != job_id:
            return f"Asked for anew: {row.model_version} answers now."
        if row.state == "done":
            return "Sending the result to Label Studio again."
        unit = "frames" if row.task_id else "steps"
        return f"Queued again; it goes on after {row.done} of {row.total} {unit}."

    def propagate(self, task_id: int) -> str:
        """Propagate the masks that are saved in a task; the result becomes a prediction."""
        # Opening a task makes Label Studio ask for predictions, so one that was listed is not opened.
        task = self._seen.get(task_id) or self._label_studio.task(task_id)
        project_id = int(task["project"])
        config = LabelConfig.parse(str(self._label_studio.project(project_id).get("label_config") or ""))
        saved = latest_work(self._label_studio.annotations(task_id), self._label_studio.drafts(task_id))
        data = task.get("data")
        work = Work(project_id, task_id, data if isinstance(data, dict) else {}, config, saved)
        request, _ = self._anchors.request(work)
        row = self._queue.enqueue(delivered(request))
        masks = f"{len(request.anchors)} painted mask{'s' if len(request.anchors) > 1 else ''}"
        if row.state == "done":
            return f"Task {task_id} was done already from the same {masks}; the prediction is sent again."
        return f"Task {task_id}: carrying {masks} over {row.total} frames."

    def make_masks(self, project_id: int) -> str:
        """Turn the tags of a project into predictions."""
        self._queue.ensure_up()
        return self._tag_board.make_masks(project_id)

    def clear_notices(self) -> str:
        """Forget all messages."""
        self._notices.clear()
        return "Messages cleared."

    def gauges(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """Jobs by state and living workers, for /metrics. Never raises."""
        try:
            states = Counter(row.state for row in self._ledger.jobs(limit=10_000))
            workers = len(self._queue.workers_alive())
        except MaskLoopError:
            return {"maskloop_ledger_up": [({}, 0)]}
        return {
            "maskloop_ledger_up": [({}, 1)],
            "maskloop_jobs": [({"state": state}, count) for state, count in sorted(states.items())],
            "maskloop_workers": [({}, workers)],
        }


DELIVERY_NOTES = {
    "pending": "on its way to Label Studio",
    "delivered": "delivered as a prediction",
    "refused": "Label Studio did not take the result",
    "superseded": "a newer result was delivered",
}


def _told(ask: Callable[[], dict[str, Any] | None], otherwise: dict[str, Any]) -> dict[str, Any]:
    """The answer, or ``otherwise`` with the trouble in words under "error"."""
    try:
        return {"error": "", **(ask() or {})}
    except MaskLoopError as error:
        return {**otherwise, "error": str(error)}


@functools.lru_cache(maxsize=64)
def _usable_config(xml: str) -> LabelConfig | None:
    """The configuration when masks can be propagated with it."""
    try:
        config = LabelConfig.parse(xml)
        refuse_unusable(config)
    except MaskLoopError:
        return None
    return config


def _work_so_far(task: Mapping[str, Any]) -> str:
    if task["draft"]:
        return "draft"
    if task.get("is_labeled"):
        return "submitted"
    return "prediction" if task.get("total_predictions") else "none yet"
