"""The moves of whoever runs a job, and of the rescue when that process died."""

from __future__ import annotations

import time

from backends.ledger.rows import (
    MAX_STRIKES,
    JobRow,
    State,
    fetch,
    guard,
    leave_running,
    struck_out,
)
from backends.ledger.store import Store


class Runs(Store):
    """Every method names the generation it was given; raises Superseded when another one runs the job."""

    def start(self, job_id: str, generation: int, worker: str) -> JobRow | None:
        """queued -> running. None when this generation is no longer wanted: drop the ticket."""
        now = time.time()
        with self._write() as db:
            changed = db.execute(
                "UPDATE jobs SET state = 'running', worker = ?, attempts = attempts + 1,"
                " strikes = strikes + 1, network_s = 0, error = '', started_at = ?, stamped_at = ?,"
                " finished_at = NULL"
                " WHERE id = ? AND generation = ? AND state = 'queued'",
                (worker, now, now, job_id, generation),
            ).rowcount
            return fetch(db, job_id) if changed else None

    def finish(self, job_id: str, generation: int, network_s: float) -> JobRow:
        """running -> done (a cancel that came after the last frame changes nothing)."""
        return self._end(job_id, generation, "done", "", network_s)

    def finish_cancelled(self, job_id: str, generation: int, network_s: float) -> JobRow:
        """cancelling -> cancelled; finished frames stay."""
        return self._end(job_id, generation, "cancelled", "", network_s)

    def fail(self, job_id: str, generation: int, error: str, network_s: float = 0.0) -> JobRow:
        """running -> failed with a sentence for people; finished frames stay."""
        return self._end(job_id, generation, "failed", error, network_s)

    def give_back(self, job_id: str, generation: int) -> JobRow:
        """running -> queued because the worker is asked to stop; does not count as a strike."""
        with self._write() as db:
            guard(db, job_id, generation)
            db.execute("UPDATE jobs SET strikes = MAX(0, strikes - 1) WHERE id = ?", (job_id,))
            return leave_running(db, job_id)

    def stamp(self, job_id: str, generation: int) -> State:
        """It moves on, though no new frame is finished. Returns the state, as ``put_frame`` does."""
        with self._write() as db:
            row = guard(db, job_id, generation)
            db.execute("UPDATE jobs SET stamped_at = ? WHERE id = ?", (time.time(), job_id))
            return row.state

    def is_cancel_requested(self, job_id: str) -> bool:
        """True when a person pressed Cancel while it runs."""
        return bool(self._read("SELECT 1 FROM jobs WHERE id = ? AND state = 'cancelling'", (job_id,)))

    def _end(self, job_id: str, generation: int, state: State, error: str, network_s: float) -> JobRow:
        with self._write() as db:
            guard(db, job_id, generation)
            db.execute(
                "UPDATE jobs SET state = ?, error = ?, network_s = ?, strikes = 0, finished_at = ?,"
                " worker = '' WHERE id = ?",
                (state, error, network_s, time.time(), job_id),
            )
            return fetch(db, job_id)

    def rescue(self, job_id: str, generation: int) -> JobRow:
        """The worker of a running job is dead: queue it again, or give up after MAX_STRIKES.

        A job that was being cancelled becomes cancelled.
        """
        with self._write() as db:
            row = fetch(db, job_id)
            if row.generation != generation or row.state not in ("running", "cancelling"):
                return row
            if row.state == "running" and row.strikes >= MAX_STRIKES:
                db.execute(
                    "UPDATE jobs SET state = 'failed', worker = '', finished_at = ?, error = ? WHERE id = ?",
                    (time.time(), struck_out(row), job_id),
                )
                return fetch(db, job_id)
            return leave_running(db, job_id)
