"""Predictions handed to Label Studio: at most one per task and model version.

Label Studio has no unique key on predictions, so this row is ours: ``planned`` (about to be sent), ``sent``
(accepted or in doubt), ``confirmed`` (read back). One owner at a time may send.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from typing import Literal

from backends.ledger.store import Store

PredictionState = Literal["planned", "sent", "confirmed"]


@dataclass(frozen=True)
class PredictionRow:
    """What we know of one prediction; ``doubted_at``: when an answer was lost (0: never)."""

    task_id: int
    model_version: str
    state: PredictionState
    digest: str  # of the result that was to be sent
    prediction_id: int | None
    doubted_at: float
    owner: str
    owned_until: float
    updated_at: float


class Predictions(Store):
    """The predictions table."""

    def prediction(self, task_id: int, model_version: str) -> PredictionRow | None:
        """The row of this task and version, or None when nothing was ever planned."""
        rows = self._read(
            "SELECT * FROM predictions WHERE task_id = ? AND model_version = ?", (task_id, model_version)
        )
        return _row(rows[0]) if rows else None

    def plan_prediction(
        self, task_id: int, model_version: str, digest: str, owner: str, own_s: float
    ) -> PredictionRow | None:
        """Claim the right to send for ``own_s`` seconds; None while another owner holds it."""
        now = time.time()
        with self._write() as db:
            changed = db.execute(
                "INSERT INTO predictions"
                " (task_id, model_version, state, digest, owner, owned_until, updated_at)"
                " VALUES (?, ?, 'planned', ?, ?, ?, ?) ON CONFLICT (task_id, model_version) DO UPDATE SET"
                " state = 'planned', digest = excluded.digest, owner = excluded.owner,"
                " owned_until = excluded.owned_until, updated_at = excluded.updated_at"
                " WHERE predictions.owner IN ('', excluded.owner) OR predictions.owned_until < ?",
                (task_id, model_version, digest, owner, now + own_s, now, now),
            ).rowcount
        return self.prediction(task_id, model_version) if changed else None

    def doubt_prediction(self, task_id: int, model_version: str) -> None:
        """A create was sent and its answer was lost: it may still take effect."""
        self._set(task_id, model_version, "state = 'sent', doubted_at = ?", (time.time(),))

    def confirm_prediction(self, task_id: int, model_version: str, prediction_id: int) -> None:
        """Label Studio holds exactly this one; the claim ends."""
        self._set(
            task_id,
            model_version,
            "state = 'confirmed', doubted_at = 0, prediction_id = ?, owner = ''",
            (prediction_id,),
        )

    def release_prediction(self, task_id: int, model_version: str, owner: str) -> None:
        """Give the claim up without a result."""
        with self._write() as db:
            db.execute(
                "UPDATE predictions SET owner = '' WHERE task_id = ? AND model_version = ? AND owner = ?",
                (task_id, model_version, owner),
            )

    def _set(self, task_id: int, model_version: str, assignment: str, values: tuple[object, ...]) -> None:
        with self._write() as db:
            db.execute(
                f"UPDATE predictions SET {assignment}, updated_at = ?"
                " WHERE task_id = ? AND model_version = ?",
                (*values, time.time(), task_id, model_version),
            )


def _row(row: sqlite3.Row) -> PredictionRow:
    return PredictionRow(**dict(row))
