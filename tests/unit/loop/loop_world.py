"""A Label Studio of a few lines, a clock that jumps, and a poller between them: where triggers are tested."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backends.labelstudio.connection import NotThere
from backends.ledger import Ledger
from backends.loop.corrections import Corrections, leave_marks, read_marks
from backends.loop.folder import ProjectFolder
from backends.loop.policy import Policy
from backends.loop.poller import Poller
from backends.loop.triggers import Triggers
from backends.notices import Event, Notices
from backends.queues import IMPROVE

PROJECT = 3
BEGUN = 1_800_000_000.0


def stamp(at: float) -> str:
    """As Label Studio writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


@dataclass
class Books:
    """Tasks with the times that Label Studio keeps of them."""

    touched: dict[int, float] = field(default_factory=dict)
    annotations_of: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    listed: int = 0
    looked_into: list[int] = field(default_factory=list)

    def submit(self, task: int, at: float, *, again: bool = False, skipped: bool = False) -> None:
        """A new annotation, or the first one changed."""
        mine = self.annotations_of.setdefault(task, [])
        if again and mine:
            mine[0]["updated_at"] = stamp(at)
        else:
            mine.append({"id": len(mine) + 1, "updated_at": stamp(at), "was_cancelled": skipped})
        self.touched[task] = at + 0.1

    def predict(self, task: int, at: float) -> None:
        """A prediction arrives; that changes the task, too."""
        self.annotations_of.setdefault(task, [])
        self.touched[task] = at

    def tasks(self, project_id: int) -> Iterable[dict[str, Any]]:
        self.listed += 1
        for task, at in sorted(self.touched.items()):
            counting = [a for a in self.annotations_of[task] if not a["was_cancelled"]]
            yield {"id": task, "updated_at": stamp(at), "total_annotations": len(counting)}

    def annotations(self, task_id: int) -> list[dict[str, Any]]:
        self.looked_into.append(task_id)
        if task_id not in self.touched:
            raise NotThere(f"no task {task_id}")
        return self.annotations_of[task_id]

    def project(self, project_id: int) -> dict[str, Any]:
        return {"id": project_id, "label_config": ""}


class World:
    """One project whose time passes when the test says so."""

    def __init__(self, policy: Policy, folder: Path | None = None, every_s: float = 300.0) -> None:
        self._home = None if folder else tempfile.TemporaryDirectory()
        self.data_dir = folder or Path(self._home.name if self._home else "")
        self.books = Books()
        self.now = BEGUN
        self.ledger = Ledger(self.data_dir / "ledger.sqlite3")
        self.notices = Notices(self.data_dir / "ledger.sqlite3")
        self.folder = ProjectFolder(self.data_dir, PROJECT)
        self.folder.save_policy(policy)
        self.triggers = Triggers(
            self.data_dir,
            self.books,
            self.ledger,
            lambda wish: self.ledger.want_alone(wish.wanted()),
            self.notices,
        )
        self.poller = Poller(self.triggers, every_s=every_s, clock=lambda: self.now)

    def close(self) -> None:
        self.ledger.close()
        if self._home:
            self._home.cleanup()

    def heard(self, action: str = "ANNOTATION_CREATED") -> None:
        self.poller.heard(Event(action, PROJECT, 1, 1))

    def pass_time(self, seconds: float) -> None:
        """Look whenever it is time; a run takes no time."""
        ends = self.now + seconds
        while True:
            wait_s = self.poller.step()
            self.run()
            if self.now + wait_s > ends:
                break
            self.now += max(wait_s, 0.05)
        self.now = ends

    def run(self) -> None:
        """Let every queued run begin and end."""
        for row in self.ledger.jobs(states=["queued"]):
            assert self.ledger.start(row.id, row.generation, "w") is not None
            leave_marks(self.folder, self.books, row.id, is_begun=True)
            self.ledger.finish(row.id, row.generation, 0.0)

    @property
    def runs(self) -> list[str]:
        """The reasons of all runs, oldest first."""
        return [
            str(row.payload["reason"]) for row in reversed(self.ledger.project_jobs(IMPROVE, PROJECT, 1000))
        ]

    def pending(self) -> set[int]:
        """Tasks with work that no run knows of."""
        return set(Corrections(self.books).since(read_marks(self.folder), PROJECT))

    def state(self) -> object:
        """What must not depend on webhooks."""
        return len(self.runs), self.pending(), dict(read_marks(self.folder).touched)
