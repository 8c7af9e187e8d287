"""The job behind the console's Export: a project's work in one format, as a file to fetch."""

from __future__ import annotations

from backends.ledger import JobRow
from pipelines.progress import Track
from pipelines.working.collaborators import Collaborators
from pipelines.working.project_job import carry_out


def make(work: Collaborators, job_id: str, generation: int) -> None:
    """Export a job's project. A stale ticket does nothing."""

    def pack(row: JobRow, progress: Track) -> str:
        return work.export(row.project_id, str(row.payload["format"]), progress)

    carry_out(work, job_id, generation, pack)
