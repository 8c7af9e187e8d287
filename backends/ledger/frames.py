"""Finished frames of jobs: every object's mask and confidence, in the order in which they were finished."""

from __future__ import annotations

import sqlite3
import time
from itertools import groupby

from backends.core.masks import pack, pack_soft, unpack, unpack_soft
from backends.core.types import FrameMasks
from backends.ledger.jobs import Jobs
from backends.ledger.rows import JobRow, State, fetch, guard


class FrameRows(Jobs):
    """The frames and cells tables. A cell is one object on one frame."""

    def put_frame(self, job_id: str, generation: int, frame: FrameMasks, network_s: float = 0.0) -> State:
        """Keep one finished frame, count it and stamp the job; putting it again replaces it.

        Returns the job's state ("running", or "cancelling" when a person asked to stop). Raises Superseded
        when this run no longer owns the job.
        """
        packed = {object_id: pack(mask) for object_id, mask in frame.masks.items()}
        with self._write() as db:
            row = guard(db, job_id, generation)
            _put_cells(db, job_id, frame, packed)
            db.execute(
                "UPDATE jobs SET stamped_at = ?, network_s = ?, strikes = 0,"
                " done = (SELECT COUNT(*) FROM frames WHERE job_id = jobs.id) WHERE id = ?",
                (time.time(), network_s, job_id),
            )
            return row.state

    def frames(self, job_id: str, since: int = 0) -> list[FrameMasks]:
        """Finished frames in the order of finishing; ``since``: leave out so many of the first ones."""
        size_hw = self.job(job_id).size_hw
        rows = self._read(
            "SELECT frames.seq, cells.* FROM frames JOIN cells USING (job_id, frame_index)"
            " WHERE job_id = ? AND seq > ? ORDER BY seq, object_id",
            (job_id, since),
        )
        return [_frame(list(group), size_hw) for _, group in groupby(rows, key=lambda row: row["seq"])]

    def frame(self, job_id: str, frame_index: int) -> FrameMasks | None:
        """One finished frame, or None; a whole clip's masks at once may be hundreds of MB."""
        rows = self._read(
            "SELECT * FROM cells WHERE job_id = ? AND frame_index = ? ORDER BY object_id",
            (job_id, frame_index),
        )
        return _frame(rows, self.job(job_id).size_hw) if rows else None

    def finished_run(self, task_id: int, model_version: str) -> tuple[JobRow, list[FrameMasks]] | None:
        """The last finished run of this task and version with its frames, or None."""
        row = self.last_done_job(task_id, model_version)
        return None if row is None else (row, self.frames(row.id))

    def forget_states(self, job_id: str) -> None:
        """Drop what only an interrupted run needs: the soft masks of a finished job's frames."""
        with self._write() as db:
            db.execute("UPDATE cells SET soft = NULL WHERE job_id = ?", (job_id,))

    def forget_frames(self, job_id: str) -> JobRow:
        """Drop the job's finished frames (it would start afresh)."""
        with self._write() as db:
            db.execute("DELETE FROM frames WHERE job_id = ?", (job_id,))
            db.execute("DELETE FROM cells WHERE job_id = ?", (job_id,))
            db.execute("DELETE FROM clip_figures WHERE job_id = ?", (job_id,))
            db.execute("UPDATE jobs SET done = 0 WHERE id = ?", (job_id,))
            return fetch(db, job_id)


def _put_cells(db: sqlite3.Connection, job_id: str, frame: FrameMasks, packed: dict[str, bytes]) -> None:
    db.execute(
        "INSERT OR IGNORE INTO frames (job_id, frame_index, seq)"
        " SELECT ?, ?, COALESCE(MAX(seq), 0) + 1 FROM frames WHERE job_id = ?",
        (job_id, frame.frame_index, job_id),
    )
    db.executemany(
        "INSERT OR REPLACE INTO cells (job_id, frame_index, object_id, confidence, is_anchor, mask, soft)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                job_id,
                frame.frame_index,
                name,
                float(frame.confidence.get(name, 0.0)),
                name in frame.anchors,
                mask,
                pack_soft(frame.soft[name]) if name in frame.soft else None,
            )
            for name, mask in packed.items()
        ],
    )


def _frame(rows: list[sqlite3.Row], size_hw: tuple[int, int]) -> FrameMasks:
    return FrameMasks(
        frame_index=rows[0]["frame_index"],
        masks={row["object_id"]: unpack(row["mask"], size_hw) for row in rows},
        confidence={row["object_id"]: row["confidence"] for row in rows},
        anchors=frozenset(row["object_id"] for row in rows if row["is_anchor"]),
        soft={row["object_id"]: unpack_soft(row["soft"]) for row in rows if row["soft"] is not None},
    )
