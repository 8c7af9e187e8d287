"""Jobs about a whole project: one at a time, with steps and stages in place of frames."""

from __future__ import annotations

import time

from backends.ledger.jobs import Jobs, insert
from backends.ledger.rows import JobRow, State, WantedJob, fetch, guard, job_row, under_way


class ProjectJobs(Jobs):
    """Jobs with ``task_id`` 0. A kind of them runs once per project at a time, whoever asks how often."""

    def want_alone(self, wanted: WantedJob) -> JobRow:
        """Insert the job as queued, or return the one of its kind and project that is not over."""
        with self._write() as db:
            there = under_way(db, wanted.kind, wanted.project_id)
            if there is not None:
                return there
            insert(db, wanted, time.time())
            return fetch(db, wanted.job_id)

    def project_jobs(self, kind: str, project_id: int, limit: int = 20) -> list[JobRow]:
        """The jobs of a kind about one project, the newest first."""
        rows = self._read(
            "SELECT * FROM jobs WHERE kind = ? AND project_id = ? AND task_id = 0"
            " ORDER BY created_at DESC, rowid DESC LIMIT ?",
            (kind, project_id, limit),
        )
        return [job_row(row) for row in rows]

    def put_progress(self, job_id: str, generation: int, done: int, total: int, stage: str) -> State:
        """``done`` of ``total`` steps are made and ``stage`` is begun; stamps the job.

        A new step forgives earlier deaths, as a new frame does. Returns the state, as ``put_frame`` does;
        raises Superseded when this run no longer owns the job.
        """
        with self._write() as db:
            row = guard(db, job_id, generation)
            is_new = total == row.total and done > row.done
            db.execute(
                "UPDATE jobs SET done = ?, total = ?, stage = ?, stamped_at = ?, strikes = ? WHERE id = ?",
                (done, total, stage, time.time(), 0 if is_new else row.strikes, job_id),
            )
            return row.state
