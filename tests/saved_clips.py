"""Builders of saved work for the loop's figures: clips with masks of known origin, versions and times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines.export.annotations import Opinion, Origin, SavedMask, TaskWork
from pipelines.export.project import Kind, LabelledClip, ProjectWork

V1, V2 = "video_object-1a2b3c4d", "video_object-5e6f7a8b"


def saved(
    origin: Origin, frame: int = 0, *, by: str = "", iou: float | None = None, label: str = "object 1"
) -> SavedMask:
    """One mask; an accepted one agrees with its proposal."""
    known = 1.0 if origin == "accepted" and iou is None else iou
    return SavedMask(f"{label}_f{frame}", label, frame, (4, 4), "", origin, by, b"", known)


def proposals(by: str, accepted: int, corrected: Sequence[float] = ()) -> list[SavedMask]:
    """A painted frame 0, then accepted frames, then corrected ones with these IoUs."""
    kept = [saved("accepted", 1 + n, by=by) for n in range(accepted)]
    changed = [saved("corrected", 1 + accepted + n, by=by, iou=iou) for n, iou in enumerate(corrected)]
    return [saved("painted"), *kept, *changed]


def clip(
    masks: Sequence[SavedMask],
    *,
    number: int = 1,
    frames: int = 10,
    seconds: float | None = None,
    at: str = "",
    removed: Sequence[tuple[str, int]] = (),
    user: str = "ann",
) -> LabelledClip:
    """One task with one opinion; later numbers were saved later."""
    at = at or f"2026-03-01T{number // 60:02d}:{number % 60:02d}:00Z"
    opinion = Opinion(
        number, user, at, False, (), tuple(masks), (), lead_time_s=seconds, removed=tuple(removed)
    )
    paths = tuple(Path(f"{index:05d}.jpg") for index in range(frames))
    names = tuple(path.stem for path in paths)
    work = TaskWork(number, (opinion,), 0, ())
    return LabelledClip(f"clip-{number:03d}", f"video-{number // 2}", paths, names, (4, 4), work, {})


def project(clips: Sequence[LabelledClip], kind: Kind = "video_object", **more: object) -> ProjectWork:
    """Project 3."""
    return ProjectWork(3, "Buses", kind, ("object 1",), tuple(clips), (), **more)  # type: ignore[arg-type]
