"""The wish for a report on one project: what its saved work says of each model version."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from backends.ledger import WantedJob
from backends.queues.project_jobs import project_job, refuse_no_project

REPORT = "report"
"""Kind of the work that reads what a project's people saved and writes ``report.json``."""

STAGES = ("reading the project", "working out the figures", "writing the report")


@dataclass(frozen=True)
class ReportRequest:
    """Make the report of a project anew. Raises BadInput for what is no project's number.

    As with trainings each wish is another job; that one runs at a time is the ledger's business.
    """

    project_id: int
    number: str = field(default_factory=lambda: secrets.token_hex(20))

    def __post_init__(self) -> None:
        refuse_no_project(self.project_id)

    def wanted(self) -> WantedJob:
        """The ledger row to ask for."""
        return project_job(REPORT, self.project_id, self.number, len(STAGES))
