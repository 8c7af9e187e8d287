"""What the wishes for work on a whole project have in common: a project's number, and no task or frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends.core.errors import BadInput
from backends.ledger import WantedJob


def refuse_no_project(project_id: int) -> None:
    """Raises BadInput for what is no project's number."""
    if project_id < 1:
        raise BadInput(f"project {project_id} is no project's number: those are 1 and more")


def project_job(
    kind: str, project_id: int, number: str, total: int, payload: Mapping[str, Any] | None = None
) -> WantedJob:
    """The ledger row to ask for; ``total`` counts steps, ``number`` is 40 hex characters."""
    return WantedJob(
        job_id=number,
        kind=kind,
        project_id=project_id,
        task_id=0,
        model_version="",
        total=total,
        size_hw=(0, 0),
        payload=payload or {},
    )
