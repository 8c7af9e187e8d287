"""What was made of tags and handed over: per picture the trust of each class, without the masks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from backends.ledger.store import Store


@dataclass(frozen=True)
class MadeMasks:
    """The last finished job of one task whose result became a prediction."""

    task_id: int
    project_id: int
    reference: str
    finished_at: float
    trust: Mapping[str, float] = field(default_factory=dict)  # class -> 0..1, a person's own masks left out


class MadeMaskRows(Store):
    """Reads the jobs and cells tables."""

    def made_masks(self, project_id: int | None = None) -> list[MadeMasks]:
        """One entry per task that has pseudo-masks; of one project when it is given."""
        rows = self._read(
            "SELECT jobs.id, jobs.task_id, jobs.project_id, jobs.payload, jobs.finished_at, object_id,"
            " confidence FROM jobs JOIN cells ON cells.job_id = jobs.id WHERE is_anchor = 0 AND jobs.id IN ("
            "SELECT id FROM (SELECT id, MAX(finished_at) FROM jobs WHERE state = 'done'"
            " AND kind IN ('pseudo_label', 'pseudo_label_now') AND delivery IN ('pending', 'delivered')"
            " GROUP BY task_id)) AND (? IS NULL OR jobs.project_id = ?)",
            (project_id, project_id),
        )
        found: dict[str, tuple[MadeMasks, dict[str, float]]] = {}
        for row in rows:
            if row["id"] not in found:
                references = json.loads(row["payload"]).get("frame_refs") or [""]
                trust: dict[str, float] = {}
                made = MadeMasks(
                    row["task_id"], row["project_id"], str(references[0]), row["finished_at"], trust
                )
                found[row["id"]] = made, trust
            found[row["id"]][1][row["object_id"]] = row["confidence"]
        return [made for made, _ in found.values()]
