"""The wish for a report on one project: what its saved work says of each model version."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from backends.core.errors import BadInput
from backends.ledger import WantedJob

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
        if self.project_id < 1:
            raise BadInput(f"project {self.project_id} is no project's number: those are 1 and more")

    def wanted(self) -> WantedJob:
        """The ledger row to ask for."""
        return WantedJob(
            job_id=self.number,
            kind=REPORT,
            project_id=self.project_id,
            task_id=0,
            model_version="",
            total=len(STAGES),
            size_hw=(0, 0),
        )
