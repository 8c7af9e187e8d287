"""How steady the labels of a clip are, frame by frame: kept beside the job they are of, gone with it.

What the figures mean is known where they are worked out (temporal consistency, in the worker); here they are
shares from 0 to 1 by class, and words where there are none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from backends.ledger.rows import JobRow, job_row
from backends.ledger.store import Store

Bond = Literal["measured", "cut", "unread"]
"""What is between two neighbours: figures, a change of scene, or a frame that could not be read."""


@dataclass(frozen=True)
class Pair:
    """A frame and the one after it; shares 0..1 by class, of the classes that either of them shows."""

    bond: Bond
    every: Mapping[str, float] = field(default_factory=dict)
    """Over all pixels."""
    seen: Mapping[str, float] = field(default_factory=dict)
    """Over the pixels that both frames see."""


@dataclass(frozen=True)
class ClipFigures:
    """The figures of one clip; ``pairs[i]`` is between frame i and frame i + 1."""

    pairs: tuple[Pair, ...] = ()
    every: Mapping[str, float] = field(default_factory=dict)
    """By class over the whole clip, from counts, over all pixels."""
    seen: Mapping[str, float] = field(default_factory=dict)
    """The same over the pixels that both frames see."""
    unread: Mapping[int, str] = field(default_factory=dict)
    """Frame -> why it could not be read."""
    trouble: str = ""
    """Why there are no figures at all, in words; empty when there are."""

    @property
    def mean(self) -> float | None:
        """Over the classes, on what both frames see; None where nothing was compared."""
        return mean_of(self.seen)


def mean_of(shares: Mapping[str, float]) -> float | None:
    """The mean over classes, None over none."""
    return sum(shares.values()) / len(shares) if shares else None


class ClipFigureRows(Store):
    """The clip_figures table."""

    def put_clip_figures(self, job_id: str, figures: ClipFigures) -> None:
        """Keep the figures of a job that is on record; earlier ones give way, an unknown job is passed by."""
        text = json.dumps(asdict(figures), allow_nan=False)
        with self._write() as db:
            db.execute(
                "INSERT OR REPLACE INTO clip_figures (job_id, figures, mean, measured_at)"
                " SELECT id, ?, ?, ? FROM jobs WHERE id = ?",
                (text, figures.mean, time.time(), job_id),
            )

    def clip_figures(self, job_id: str) -> ClipFigures | None:
        """What was put, or None: never measured."""
        rows = self._read("SELECT figures FROM clip_figures WHERE job_id = ?", (job_id,))
        return _figures(json.loads(rows[0]["figures"])) if rows else None

    def labelled_clips(self, kind: str, limit: int) -> list[tuple[JobRow, float | None]]:
        """The last finished job of this kind of each task with its mean, least steady first, unknown last."""
        rows = self._read(
            "SELECT jobs.* FROM jobs LEFT JOIN clip_figures ON job_id = id WHERE id IN (SELECT id FROM ("
            "SELECT id, MAX(finished_at) FROM jobs WHERE state = 'done' AND kind = ? GROUP BY task_id))"
            " ORDER BY mean IS NULL, mean, finished_at DESC LIMIT ?",
            (kind, limit),
        )
        means = {row["job_id"]: row["mean"] for row in self._read("SELECT job_id, mean FROM clip_figures")}
        return [(job_row(row), means.get(row["id"])) for row in rows]


def _figures(found: Mapping[str, Any]) -> ClipFigures:
    pairs: Sequence[Mapping[str, Any]] = found["pairs"]
    unread = {int(index): str(why) for index, why in found["unread"].items()}
    return ClipFigures(
        tuple(Pair(**pair) for pair in pairs), found["every"], found["seen"], unread, found["trouble"]
    )
