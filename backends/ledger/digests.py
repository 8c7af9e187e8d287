"""Digests of machine-made masks, per task and region. A region that differs was changed by a person."""

from __future__ import annotations

import time
from collections.abc import Mapping

from backends.ledger.store import Store

KEPT_PER_REGION = 32
"""Older digests of a region are forgotten: an answer that old is no longer on anyone's screen."""


class MachineMasks(Store):
    """The machine_masks table."""

    def remember_machine_masks(self, task_id: int, digests: Mapping[str, str]) -> None:
        """``digests``: region id -> digest of the mask about to be shown. Call it *before* showing."""
        now = time.time()
        with self._write() as db:
            db.executemany(
                "INSERT OR REPLACE INTO machine_masks (task_id, region_id, digest, seen_at)"
                " VALUES (?, ?, ?, ?)",
                [(task_id, region_id, digest, now) for region_id, digest in digests.items()],
            )
            db.executemany(
                "DELETE FROM machine_masks WHERE task_id = ? AND region_id = ? AND digest NOT IN"
                " (SELECT digest FROM machine_masks WHERE task_id = ? AND region_id = ?"
                " ORDER BY seen_at DESC LIMIT ?)",
                [(task_id, region_id, task_id, region_id, KEPT_PER_REGION) for region_id in digests],
            )

    def machine_digests(self, task_id: int) -> dict[str, set[str]]:
        """Region id -> every digest a machine gave that region."""
        found: dict[str, set[str]] = {}
        for row in self._read("SELECT region_id, digest FROM machine_masks WHERE task_id = ?", (task_id,)):
            found.setdefault(row["region_id"], set()).add(row["digest"])
        return found
