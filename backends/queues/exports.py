"""The wish for a project's work as a data set, to be fetched from the console."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from backends.core.errors import BadInput
from backends.ledger import WantedJob

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
        if self.project_id < 1:
            raise BadInput(f"project {self.project_id} is no project's number: those are 1 and more")
        if self.format_name not in EXPORT_FORMATS:
            raise BadInput(f"no format {self.format_name!r}; there are {', '.join(EXPORT_FORMATS)}")

    def wanted(self) -> WantedJob:
        """The ledger row to ask for."""
        return WantedJob(
            job_id=self.number,
            kind=EXPORT,
            project_id=self.project_id,
            task_id=0,
            model_version="",
            total=_STEPS,
            size_hw=(0, 0),
            payload={"format": self.format_name},
        )
