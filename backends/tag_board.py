"""The console's part for pictures with tags: projects with a button, and the review order."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from backends.core.errors import BadInput, MaskLoopError
from backends.labelstudio.label_config import makes_masks
from backends.ledger import Ledger
from backends.notices import KEPT, Notices
from backends.review import DOUBTFUL, review_order
from backends.shown_names import picture_name
from backends.tag_batches import Summary, TagBatches, TaggedTasks, in_words

REVIEWS_SHOWN = 50


@dataclass(frozen=True)
class TagBoard:
    """Shows and starts the work on tagged pictures."""

    ledger: Ledger
    notices: Notices
    batches: TagBatches
    label_studio: TaggedTasks
    public_url: str
    behind: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="make-masks")
    )

    def projects(self, projects: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Of Label Studio's projects those whose tags become masks."""
        return [
            {
                "id": int(project["id"]),
                "title": str(project.get("title") or f"project {project['id']}"),
                "tasks": int(project.get("task_number") or 0),
                "annotations": int(project.get("total_annotations_number") or 0),
                "predictions": int(project.get("total_predictions_number") or 0),
                "url": self._project_url(int(project["id"])),
            }
            for project in projects
            if _makes_masks(str(project.get("label_config") or ""))
        ]

    def review(self) -> dict[str, Any]:
        """Pictures to look at, the doubtful ones first, at most :data:`REVIEWS_SHOWN`; and how many."""
        order = review_order(self.ledger.made_masks(), self.notices.events(KEPT))
        shown = [
            {
                "task_id": item.task_id,
                "name": picture_name(item.reference),
                "score": round(item.score, 2),
                "worst": item.worst,
                "worst_trust": round(item.worst_trust, 2),
                "is_doubtful": item.worst_trust < DOUBTFUL,
                "editor_url": f"{self._project_url(item.project_id)}?task={item.task_id}",
            }
            for item in order[:REVIEWS_SHOWN]
        ]
        return {"items": shown, "total": len(order)}

    def _project_url(self, project_id: int) -> str:
        return f"{self.public_url.rstrip('/')}/projects/{project_id}/data"

    def make_masks(self, project_id: int) -> str:
        """Start on a project's tags; many tasks are read one by one, so that goes on behind the answer."""
        config = str(self.label_studio.project(project_id).get("label_config") or "")
        if not _makes_masks(config):
            raise BadInput(f"project {project_id} has no tags to make masks of; see weak_shot.xml")
        self.batches.wishes.served(project_id)  # without a model the person is told at once
        self.started(project_id)
        return "Reading the project's tags; each tagged picture becomes a job below."

    def started(self, project_id: int) -> Future[None]:
        """The work behind :meth:`make_masks`."""
        return self.behind.submit(self._run, project_id)

    def _run(self, project_id: int) -> None:
        summary = Summary()
        try:
            for wanted in self.batches.project(self.label_studio, project_id):
                summary.add(wanted)
        except MaskLoopError as error:
            self.notices.add("error", in_words(error))
        except Exception as error:  # nobody waits for this thread; the console tells
            self.notices.add("error", f"Make masks stopped ({type(error).__name__}: {error}).")
        else:
            self.notices.add("info", f"Project {project_id}: {summary}.")


@functools.lru_cache(maxsize=64)
def _makes_masks(xml: str) -> bool:
    return makes_masks(xml)
