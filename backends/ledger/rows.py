"""What a job is in the ledger, and the statements its moves share. No method of the ledger lives here."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from backends.core.errors import BadInput, Superseded
from backends.core.types import MaskPrompt

State = Literal["queued", "running", "cancelling", "cancelled", "failed", "done"]
Delivery = Literal["", "pending", "delivered", "refused", "superseded"]

MAX_STRIKES = 3
"""A job whose worker died this often without finishing one more frame is failed, not tried again."""


@dataclass(frozen=True)
class WantedJob:
    """What to do, named by a digest of its content (``job_id``), so that asking twice finds the same job."""

    job_id: str
    kind: str
    project_id: int
    task_id: int  # 0: the job is about the whole project
    model_version: str
    total: int  # frames to finish, or steps
    size_hw: tuple[int, int]
    payload: Mapping[str, Any] = field(default_factory=dict)  # JSON values
    anchors: Sequence[MaskPrompt] = ()
    deliver: bool = False


@dataclass(frozen=True)
class JobRow:
    """One job as the ledger knows it; times are seconds since the epoch, None when it has not happened."""

    id: str
    kind: str
    project_id: int
    task_id: int
    model_version: str
    payload: Mapping[str, Any]
    size_hw: tuple[int, int]
    state: State
    generation: int
    attempts: int
    strikes: int
    worker: str
    done: int
    total: int
    network_s: float
    error: str  # in words, for people; empty when all is well
    delivery: Delivery
    delivery_error: str
    delivery_attempts: int
    deliver_after: float
    created_at: float
    wanted_at: float
    queued_at: float
    started_at: float | None
    stamped_at: float | None  # the last finished frame, or the start
    finished_at: float | None
    stage: str = ""  # what a job of several stages is at, and in the end what came of it; for people

    @property
    def is_over(self) -> bool:
        """Nothing more will happen to it by itself (delivery aside)."""
        return self.state in ("done", "failed", "cancelled")

    @property
    def overhead_s(self) -> float | None:
        """Seconds of the last run that were not spent in the network."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, self.finished_at - self.started_at - self.network_s)


def guard(db: sqlite3.Connection, job_id: str, generation: int) -> JobRow:
    """The row, provided that this generation still runs it; raises Superseded."""
    row = fetch(db, job_id)
    if row.generation != generation or row.state not in ("running", "cancelling"):
        raise Superseded(
            f"job {job_id} is {row.state}, generation {row.generation}; this run is {generation}"
        )
    return row


def leave_running(db: sqlite3.Connection, job_id: str) -> JobRow:
    """running -> queued, cancelling -> cancelled."""
    if fetch(db, job_id).state == "cancelling":
        db.execute(
            "UPDATE jobs SET state = 'cancelled', worker = '', finished_at = ? WHERE id = ?",
            (time.time(), job_id),
        )
    else:
        enter_queued(db, job_id)
    return fetch(db, job_id)


def enter_queued(db: sqlite3.Connection, job_id: str) -> None:
    """Queue it under a new generation."""
    db.execute(
        "UPDATE jobs SET state = 'queued', generation = generation + 1, worker = '', error = '',"
        " queued_at = ?, finished_at = NULL WHERE id = ?",
        (time.time(), job_id),
    )


def struck_out(row: JobRow) -> str:
    """The sentence for a job that keeps killing its worker."""
    if row.task_id == 0:
        return (
            f"it was killed {row.strikes} times at {row.stage or 'its start'!r}, after step {row.done} of "
            f"{row.total} (mostly that is memory running out); look at its log, then press Retry: it goes on "
            "from there"
        )
    return (
        f"the worker died {row.strikes} times on this job after frame {row.done} of {row.total} "
        "(out of memory, or a frame that crashes the decoder); look at the worker's log, then press Retry"
    )


def under_way(db: sqlite3.Connection, kind: str, project_id: int) -> JobRow | None:
    """The job of this kind about a whole project that is not over; None when there is none."""
    row = db.execute(
        "SELECT * FROM jobs WHERE kind = ? AND project_id = ? AND task_id = 0"
        " AND state IN ('queued', 'running', 'cancelling') ORDER BY created_at LIMIT 1",
        (kind, project_id),
    ).fetchone()
    return None if row is None else job_row(row)


def fetch(db: sqlite3.Connection, job_id: str) -> JobRow:
    """The row, inside a transaction; raises BadInput when there is none."""
    row = db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise BadInput(f"no job {job_id!r} in the ledger")
    return job_row(row)


def job_row(row: sqlite3.Row) -> JobRow:
    """A JobRow from a row of the table."""
    values = dict(row)
    size_hw = (values.pop("height"), values.pop("width"))
    values["payload"] = json.loads(values["payload"])
    return JobRow(size_hw=size_hw, **values)
