"""Handing the results of done jobs to Label Studio: what is due, how it went."""

from __future__ import annotations

import time

from backends.ledger.rows import Delivery, JobRow, fetch, job_row
from backends.ledger.store import Store


class Deliveries(Store):
    """The delivery columns of the jobs table."""

    def note_delivery(self, job_id: str, delivery: Delivery, error: str = "", after: float = 0.0) -> JobRow:
        """Record how handing the result to Label Studio went; ``after``: not before this time (epoch s)."""
        with self._write() as db:
            db.execute(
                "UPDATE jobs SET delivery = ?, delivery_error = ?, deliver_after = ?,"
                " delivery_attempts = delivery_attempts + 1 WHERE id = ?",
                (delivery, error, after, job_id),
            )
            return fetch(db, job_id)

    def want_delivery(self, job_id: str) -> JobRow:
        """Try again now, whatever happened before; only a done job has something to deliver."""
        with self._write() as db:
            db.execute(
                "UPDATE jobs SET delivery = 'pending', delivery_error = '', deliver_after = 0, wanted_at = ?"
                " WHERE id = ? AND state = 'done'",
                (time.time(), job_id),
            )
            return fetch(db, job_id)

    def deliveries_due(self) -> list[JobRow]:
        """Done jobs whose result still has to reach Label Studio and whose back-off is over."""
        rows = self._read(
            "SELECT * FROM jobs WHERE state = 'done' AND delivery = 'pending' AND deliver_after <= ?"
            " ORDER BY wanted_at",
            (time.time(),),
        )
        return [job_row(row) for row in rows]

    def newer_delivery(self, row: JobRow) -> bool:
        """True when a later wish for this task and model version is done: ``row`` must not overwrite it."""
        return bool(
            self._read(
                "SELECT 1 FROM jobs WHERE task_id = ? AND model_version = ? AND kind = ? AND state = 'done'"
                " AND delivery IN ('pending', 'delivered') AND wanted_at > ? AND id != ?",
                (row.task_id, row.model_version, row.kind, row.wanted_at, row.id),
            )
        )
