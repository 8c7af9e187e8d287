"""What the console shows of labelled clips: the list, least steady first, and the page of one clip."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from backends.clip_pictures import ClipPictures, label_colours
from backends.core.errors import BadInput
from backends.ledger import ClipFigures, JobRow, Ledger
from backends.ledger.clip_figures import mean_of
from backends.notices import KEPT, Notices
from backends.queues.requests import LABEL_CLIP
from backends.review import last_saved
from backends.shown_names import job_name
from backends.steadiness import FrameFigures, by_frame, need_eyes

LISTED = 50
EYES = 8
"""Frames that are pointed out."""

_ID = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class ClipPages:
    """Reads the ledger; ``measure`` asks a worker for figures and raises NoWorker or RedisDown."""

    ledger: Ledger
    notices: Notices
    pictures: ClipPictures
    measure_job: Callable[[str], object]
    public_url: str

    def listed(self) -> dict[str, Any]:
        """Finished clips as JSON values: unreviewed ones first, least steady first, at most LISTED."""
        saved_at = last_saved(self.notices.events(KEPT))
        found = [
            {
                "id": row.id,
                "name": job_name(row),
                "task_id": row.task_id,
                "frames": row.total,
                "share": mean,
                "is_saved": saved_at.get(row.task_id, 0.0) > (row.finished_at or 0.0),
                "editor_url": self._editor(row),
            }
            for row, mean in self.ledger.labelled_clips(LABEL_CLIP, LISTED + 1)
        ]
        shown = found[:LISTED]
        return {"items": sorted(shown, key=lambda item: item["is_saved"]), "more": len(found) > LISTED}

    def clip(self, job_id: str) -> dict[str, Any]:
        """All that the page of one clip shows, as JSON values. Raises BadInput for a job that is no clip."""
        row = self._row(job_id)
        figures = self.ledger.clip_figures(job_id) if row.state == "done" else None
        colours = label_colours(row.payload)
        return {
            "id": row.id,
            "name": job_name(row) or f"task {row.task_id}",
            "task_id": row.task_id,
            "project_id": row.project_id,
            "model_version": row.model_version,
            "state": row.state,
            "error": row.error,
            "done": row.done,
            "frames": row.total,
            "size_hw": list(row.size_hw),
            "finished_at": row.finished_at,
            "editor_url": self._editor(row),
            "labels": [{"name": name, "colour": f"#{bytes(rgb).hex()}"} for name, rgb in colours.items()],
            "steadiness": None if figures is None else _steadiness(figures, row.total),
        }

    def frame(self, job_id: str, index: int) -> bytes:
        """A frame as a JPEG."""
        return self.pictures.frame(self._row(job_id), index)

    def labels(self, job_id: str, index: int) -> bytes:
        """The labels of a frame as a PNG to lay over it."""
        return self.pictures.labels(self._row(job_id), index)

    def measure(self, job_id: str) -> str:
        """Have the figures of a clip worked out."""
        self._row(job_id)
        self.measure_job(job_id)
        return "Asked a worker to measure this clip; the figures appear here in a moment."

    def _row(self, job_id: str) -> JobRow:
        if not _ID.fullmatch(job_id):
            raise BadInput("a labelled clip is named by the 40 characters 0-9 a-f of its job")
        row = self.ledger.job(job_id)
        if row.kind != LABEL_CLIP:
            raise BadInput(f"job {job_id} labels no clip (it is of kind {row.kind})")
        return row

    def _editor(self, row: JobRow) -> str:
        return f"{self.public_url.rstrip('/')}/projects/{row.project_id}/data?task={row.task_id}"


def _steadiness(figures: ClipFigures, n_frames: int) -> dict[str, Any]:
    frames, every = by_frame(figures, n_frames), by_frame(figures, n_frames, "every")
    return {
        "trouble": figures.trouble,
        "share": figures.mean,
        "share_every": mean_of(figures.every),
        "per_class": dict(figures.seen),
        "per_class_every": dict(figures.every),
        "frames": [_told(frame, other) for frame, other in zip(frames, every, strict=True)],
        "eyes": [frame.index for frame in need_eyes(figures, n_frames, EYES)],
    }


def _told(frame: FrameFigures, every: FrameFigures) -> dict[str, Any]:
    return {
        "opens_scene": frame.opens_scene,
        "unread": frame.unread,
        "share": frame.share,
        "before": frame.before,
        "after": frame.after,
        "share_every": every.share,
        "per_class": _rounded(frame.per_class),
        "worst": [list(item) for item in frame.worst],
    }


def _rounded(shares: Mapping[str, float]) -> dict[str, float]:
    return {name: round(share, 4) for name, share in shares.items()}
