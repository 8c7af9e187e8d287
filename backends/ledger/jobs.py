"""Jobs: what is wanted, how far it is, how it ended. States and the only moves between them.

::

    queued ──start──▶ running ──finish──▶ done
      │ ▲               │  │
      │ └─give_back/rescue─┤──fail──▶ failed ──requeue──▶ queued
      │                 │
      └─request_cancel─▶│──request_cancel──▶ cancelling ──▶ cancelled ──requeue──▶ queued

Each time a job (re-)enters ``queued`` its ``generation`` grows by one. Whoever runs a job must name the
generation it was given: a run that was given up for dead can no longer write anything.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence

from backends.core.errors import BadInput
from backends.core.masks import pack, unpack
from backends.core.types import MaskPrompt
from backends.ledger.rows import JobRow, State, WantedJob, enter_queued, fetch, job_row, under_way
from backends.ledger.store import Store


class Jobs(Store):
    """The jobs table as people see it, and the anchors that belong to each job."""

    def want_job(self, wanted: WantedJob) -> JobRow:
        """Insert the job as queued, or return the row that is there (a wanted delivery is noted on it)."""
        now = time.time()
        with self._write() as db:
            if db.execute("SELECT 1 FROM jobs WHERE id = ?", (wanted.job_id,)).fetchone() is None:
                insert(db, wanted, now)
            else:
                _want_again(db, wanted, now)
            return fetch(db, wanted.job_id)

    def job(self, job_id: str) -> JobRow:
        """Raises BadInput when there is no such job."""
        rows = self._read("SELECT * FROM jobs WHERE id = ?", (job_id,))
        if not rows:
            raise BadInput(f"no job {job_id!r} in the ledger")
        return job_row(rows[0])

    def jobs(
        self, *, states: Sequence[State] = (), task_id: int | None = None, limit: int = 200
    ) -> list[JobRow]:
        """Newest first; empty ``states`` means all."""
        sql, values = "SELECT * FROM jobs WHERE 1", []  # type: tuple[str, list[object]]
        if states:
            sql += f" AND state IN ({','.join('?' * len(states))})"
            values += states
        if task_id is not None:
            sql += " AND task_id = ?"
            values.append(task_id)
        return [
            job_row(row) for row in self._read(f"{sql} ORDER BY wanted_at DESC LIMIT ?", [*values, limit])
        ]

    def anchors(self, job_id: str) -> tuple[MaskPrompt, ...]:
        """The masks a person made, as given with the job, in frame order."""
        height_width = self.job(job_id).size_hw
        rows = self._read("SELECT * FROM anchors WHERE job_id = ? ORDER BY frame_index, object_id", (job_id,))
        return tuple(
            MaskPrompt(row["object_id"], row["frame_index"], unpack(row["mask"], height_width))
            for row in rows
        )

    def last_done_job(self, task_id: int, model_version: str, kind: str = "propagate") -> JobRow | None:
        """The finished run that a re-run may take unchanged masks from."""
        rows = self._read(
            "SELECT * FROM jobs WHERE task_id = ? AND model_version = ? AND kind = ? AND state = 'done'"
            " ORDER BY finished_at DESC LIMIT 1",
            (task_id, model_version, kind),
        )
        return job_row(rows[0]) if rows else None

    def request_cancel(self, job_id: str) -> JobRow:
        """queued -> cancelled, running -> cancelling; anything else stays as it is."""
        with self._write() as db:
            db.execute(
                "UPDATE jobs SET state = CASE state WHEN 'queued' THEN 'cancelled' ELSE 'cancelling' END,"
                " finished_at = CASE state WHEN 'queued' THEN ? END"
                " WHERE id = ? AND state IN ('queued', 'running')",
                (time.time(), job_id),
            )
            return fetch(db, job_id)

    def requeue(self, job_id: str) -> JobRow:
        """failed or cancelled -> queued; it goes on from its finished frames. Anything else stays.

        Raises BadInput for a job about a whole project while another one of its kind is under way there.
        """
        with self._write() as db:
            row = fetch(db, job_id)
            if row.state in ("failed", "cancelled"):
                _refuse_second(db, row)
                enter_queued(db, job_id)
                db.execute("UPDATE jobs SET strikes = 0, wanted_at = ? WHERE id = ?", (time.time(), job_id))
            return fetch(db, job_id)

    def renew(self, job_id: str, generation: int) -> JobRow:
        """A queued job whose ticket was lost gets a new generation, so the lost ticket can do no harm."""
        with self._write() as db:
            row = fetch(db, job_id)
            if row.state == "queued" and row.generation == generation:
                enter_queued(db, job_id)
            return fetch(db, job_id)

    def prune(self, keep_s: float) -> int:
        """Drop jobs that ended more than ``keep_s`` ago, with their frames; returns how many.

        The last finished run of each task and version stays, as do results that wait for delivery.
        """
        with self._write() as db:
            return db.execute(
                "DELETE FROM jobs WHERE state IN ('done', 'failed', 'cancelled') AND finished_at < ?"
                " AND NOT (state = 'done' AND delivery = 'pending') AND id NOT IN (SELECT id FROM ("
                "SELECT id, MAX(finished_at) FROM jobs WHERE state = 'done'"
                " GROUP BY project_id, task_id, model_version, kind))",
                (time.time() - keep_s,),
            ).rowcount


def _refuse_second(db: sqlite3.Connection, row: JobRow) -> None:
    other = under_way(db, row.kind, row.project_id) if row.task_id == 0 else None
    if other is not None:
        raise BadInput(
            f"project {row.project_id} has another job of this kind {other.state} ({other.id[:12]}); let it "
            "end, or cancel it first"
        )


def insert(db: sqlite3.Connection, wanted: WantedJob, now: float) -> None:
    db.execute(
        "INSERT INTO jobs (id, kind, project_id, task_id, model_version, payload, height, width, state,"
        " total, delivery, created_at, wanted_at, queued_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?)",
        (
            *(wanted.job_id, wanted.kind, wanted.project_id, wanted.task_id, wanted.model_version),
            *(json.dumps(dict(wanted.payload), allow_nan=False), *wanted.size_hw, wanted.total),
            *("pending" if wanted.deliver else "", now, now, now),
        ),
    )
    db.executemany(
        "INSERT INTO anchors (job_id, object_id, frame_index, mask) VALUES (?, ?, ?, ?)",
        [(wanted.job_id, a.object_id, a.frame_index, pack(a.mask)) for a in wanted.anchors],
    )


def _want_again(db: sqlite3.Connection, wanted: WantedJob, now: float) -> None:
    db.execute("UPDATE jobs SET wanted_at = ? WHERE id = ?", (now, wanted.job_id))
    if wanted.deliver:
        db.execute(
            "UPDATE jobs SET delivery = 'pending', delivery_error = '', deliver_after = 0 WHERE id = ?",
            (wanted.job_id,),
        )
