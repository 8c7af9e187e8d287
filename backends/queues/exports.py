"""The wish for a project's work as a data set, to be fetched from the console."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from backends.core.errors import BadInput
from backends.ledger import WantedJob
from backends.queues.project_jobs import project_job, refuse_no_project

EXPORT = "export"
"""Kind of the work that writes what people submitted in a project, in one format, as a ZIP file."""

EXPORT_FORMATS = (
    *("davis", "youtube-vos", "coco", "coco-panoptic", "voc", "cityscapes", "yolo-seg", "labelstudio"),
)
"""The names of ``pipelines.export.formats``."""

_STEPS = 3  # reading, writing, packing; until the reading says how many there are


@dataclass(frozen=True)
class ExportRequest:
    """Export a project as it is now. Raises BadInput for no project's number and for an unknown format.

    Each wish is another job, since the work goes on; that one runs per project at a time is the ledger's
    business.
    """

    project_id: int
    format_name: str
    number: str = field(default_factory=lambda: secrets.token_hex(20))

    def __post_init__(self) -> None:
        refuse_no_project(self.project_id)
        if self.format_name not in EXPORT_FORMATS:
            raise BadInput(f"no format {self.format_name!r}; there are {', '.join(EXPORT_FORMATS)}")

    def wanted(self) -> WantedJob:
        """The ledger row to ask for."""
        return project_job(EXPORT, self.project_id, self.number, _STEPS, {"format": self.format_name})
