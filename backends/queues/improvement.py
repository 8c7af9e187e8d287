"""The wish for a better model of one project: a cycle of the loop, on the queue for trainings."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from backends.ledger import WantedJob
from backends.queues.project_jobs import project_job, refuse_no_project

IMPROVE = "improve"
"""Kind of the work that trains, judges and perhaps promotes a version for one project."""

STEPS = 5
"""Stages of a cycle, until its own process says how many steps it takes."""


@dataclass(frozen=True)
class ImproveRequest:
    """Go through one cycle for a project. Raises BadInput for what is no project's number.

    ``reason`` is kept with the run and shown: who or what asked. Each wish is another job, for a training is
    wanted again and again; that it runs once at a time is the ledger's business
    (:meth:`backends.ledger.Ledger.want_alone`).
    """

    project_id: int
    algorithm: str
    reason: str
    number: str = field(default_factory=lambda: secrets.token_hex(20))

    def __post_init__(self) -> None:
        refuse_no_project(self.project_id)

    def wanted(self) -> WantedJob:
        """The ledger row to ask for."""
        return project_job(
            IMPROVE,
            self.project_id,
            self.number,
            STEPS,
            {"algorithm": self.algorithm, "reason": self.reason[:300]},
        )
