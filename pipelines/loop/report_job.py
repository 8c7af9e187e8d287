"""The job behind the console's Refresh: a project's report, made anew."""

from __future__ import annotations

from backends.ledger import JobRow
from pipelines.loop.report import told
from pipelines.progress import Track
from pipelines.working.collaborators import Collaborators
from pipelines.working.project_job import carry_out


def make(work: Collaborators, job_id: str, generation: int) -> None:
    """Make the report of a job's project. A stale ticket does nothing."""

    def report(row: JobRow, progress: Track) -> str:
        return told(work.report(row.project_id, progress))

    carry_out(work, job_id, generation, report, between="working out the figures")
