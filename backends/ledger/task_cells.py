"""What the jobs of one task still hold, cell by cell: proposals to compare a person's final masks with."""

from __future__ import annotations

from dataclasses import dataclass, field

from backends.core.masks import unpack
from backends.core.types import Mask
from backends.ledger.store import Store


@dataclass(frozen=True)
class TaskCell:
    """One object on one frame as a job left it; the pixels stay packed until they are asked for."""

    model_version: str
    asked_at: float
    """When the job was wanted first, seconds since the epoch."""
    object_id: str
    frame_index: int
    is_anchor: bool
    """A person's own mask, which the job was given and handed on as it was."""
    size_hw: tuple[int, int]
    packed: bytes = field(repr=False)

    @property
    def mask(self) -> Mask:
        """(H, W) bool. Raises BadMask for a row that was spoilt."""
        return unpack(self.packed, self.size_hw)


class TaskCells(Store):
    """Reads the jobs and cells tables."""

    def task_cells(self, task_id: int) -> list[TaskCell]:
        """Of every job of the task, older jobs first; an unfinished one's frames may have been seen too."""
        rows = self._read(
            "SELECT model_version, created_at, object_id, frame_index, is_anchor, height, width, mask"
            " FROM jobs JOIN cells ON cells.job_id = jobs.id WHERE task_id = ?"
            " ORDER BY created_at, jobs.id, frame_index, object_id",
            (task_id,),
        )
        return [
            TaskCell(
                row["model_version"],
                row["created_at"],
                row["object_id"],
                row["frame_index"],
                bool(row["is_anchor"]),
                (row["height"], row["width"]),
                row["mask"],
            )
            for row in rows
        ]
