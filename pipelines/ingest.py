"""A video or a folder of frames becomes clips that the editor can carry: folders of JPEGs and task data.

Clips live in ``media_root/clips``, are named by the source's content, and hold at most ``max_clip_frames``
frames; each begins with the last frame of the one before, so that masks can be handed on.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from backends.core.errors import BadMedia, SetupFault
from backends.settings import Settings
from pipelines.atomic import write_json
from pipelines.media.clip_folder import JPEG_QUALITY, ClipFrame, ClipWriter, KeptFrame, read_clip
from pipelines.media.sources import Source, SourceFrame, open_source
from pipelines.progress import Track, quiet

CLIPS = "clips"  # Label Studio serves files of a registered storage only: a folder strictly below its root
_SPARE_BYTES = 64_000_000  # left for the ledger, Redis and Label Studio
_LAYOUT = "1"  # part of the names: change it when the same source should give other files

Encode = Callable[[SourceFrame], ClipFrame]


@dataclass(frozen=True)
class IngestedClip:
    """A clip on disk and the data of the Label Studio task that shows it."""

    clip_id: str
    folder: Path
    task_data: dict[str, Any]
    n_frames: int
    size_hw: tuple[int, int]
    notes: tuple[str, ...] = ()
    """What could not be read of the source, in words."""


def ingest(source: Path, settings: Settings, *, progress: Track = quiet) -> list[IngestedClip]:
    """Clips of a folder of pictures or a video file, in order; the same source again costs only its digest.

    An interrupted run keeps its finished clips and goes on after them. Raises BadMedia, naming the file, for
    a source that cannot be used and SetupFault for a full disk; clips already there stay as they are.
    """
    opened = open_source(source, max_pixels=settings.max_image_pixels)
    scaled = partial(ClipFrame, max_side_px=settings.max_side_px)
    return _ingest(opened, settings, scaled, str(settings.max_side_px), progress)


def ingest_as_it_is(opened: Source, settings: Settings, *, progress: Track = quiet) -> list[IngestedClip]:
    """As :func:`ingest`, of pictures that stay what they are, byte for byte, since masks lie on them."""
    return _ingest(opened, settings, KeptFrame, "kept", progress)


def _ingest(
    opened: Source, settings: Settings, encode: Encode, recipe: str, progress: Track
) -> list[IngestedClip]:
    if settings.max_clip_frames < 2 or settings.max_side_px < 16:
        raise SetupFault("MASKLOOP_MAX_CLIP_FRAMES must be at least 2 and MASKLOOP_MAX_SIDE_PX at least 16")
    source_id = _source_id(opened, f"{_LAYOUT} {recipe} {settings.max_clip_frames} {JPEG_QUALITY}")
    home = settings.media_root / CLIPS
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _alone(home / f".{source_id}.lock"):
            told = _finished(home, source_id) or _cut(opened, source_id, home, settings, encode, progress)
    except OSError as error:
        raise SetupFault(_disk_words(home, error)) from error
    return [_ingested(home, clip_id, opened.name, told["notes"]) for clip_id in told["clips"]]


def task_data(folder: Path, told: dict[str, Any], source_name: str) -> dict[str, Any]:
    """What the editor shows and our jobs read back, from a clip folder and its ``frames.json``."""
    rows = told["frames"]
    return {
        "frames": [f"/data/local-files/?d={CLIPS}/{folder.name}/{row['file']}" for row in rows],
        "clip": folder.name,
        "start": rows[0]["source_frame"],
        "fps": _mean_rate(rows),
        "source": source_name,
        "overlap": 1,
    }


def _ingested(home: Path, clip_id: str, source_name: str, notes: list[str]) -> IngestedClip:
    folder = home / clip_id
    told = read_clip(folder)
    if told is None:
        raise BadMedia(f"{folder}: the clip vanished while it was read; run the command again")
    data = task_data(folder, told, source_name)
    height, width = told["size_hw"]
    return IngestedClip(clip_id, folder, data, len(told["frames"]), (height, width), tuple(notes))


def _cut(
    opened: Source, source_id: str, home: Path, settings: Settings, encode: Encode, progress: Track
) -> dict[str, Any]:
    _sweep(home, source_id)  # what a killed run left
    try:
        clips = _write_clips(opened, source_id, home, settings, encode, progress)
    finally:
        _sweep(home, source_id)
    told = {"clips": clips, "source": opened.name, "notes": opened.notes}
    write_json(home / f"{source_id}.json", told)
    return told


def _write_clips(
    opened: Source, source_id: str, home: Path, settings: Settings, encode: Encode, progress: Track
) -> list[str]:
    clips: list[str] = []
    writer = _writer(home, source_id, 0)
    for frame in progress(opened.frames(), total=opened.total, label="ingest"):
        if len(writer) == settings.max_clip_frames:
            clips.append(_finish(writer))
            overlap = writer.newest
            writer = _writer(home, source_id, len(clips))
            if overlap is not None:
                writer.add(overlap)
        clip_frame = encode(frame)
        if len(writer) <= 1 and writer.known is None:
            _need_space(home, len(clip_frame.data) * settings.max_clip_frames)
        writer.add(clip_frame)
    clips.append(_finish(writer))
    return clips


def _sweep(home: Path, source_id: str) -> None:
    for leftover in home.glob(f".partial-{source_id}-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _writer(home: Path, source_id: str, number: int) -> ClipWriter:
    clip_id = f"{source_id}-{number:03d}"
    return ClipWriter(home / clip_id, home / f".partial-{clip_id}")


def _finish(writer: ClipWriter) -> str:
    writer.finish()
    return writer.target.name


def _finished(home: Path, source_id: str) -> dict[str, Any] | None:
    """What an earlier run told, if every clip it made is still whole."""
    try:
        told: dict[str, Any] = json.loads((home / f"{source_id}.json").read_text(encoding="utf-8"))
        whole = bool(told["clips"]) and all(read_clip(home / clip_id) for clip_id in told["clips"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return told if whole else None


def _source_id(opened: Source, recipe: str) -> str:
    stem = re.sub(r"[^a-z0-9]+", "-", Path(opened.name).stem.lower()).strip("-")[:40] or "clip"
    return f"{stem}-{hashlib.sha256(f'{recipe} {opened.digest()}'.encode()).hexdigest()[:10]}"


def _mean_rate(rows: list[dict[str, Any]]) -> float | None:
    """Frames per second over the clip's real timestamps; None for pictures."""
    times = [row["pts_s"] for row in rows if row["pts_s"] is not None]
    if len(times) < 2 or times[-1] <= times[0]:
        return None
    return round(float((len(times) - 1) / (times[-1] - times[0])), 3)


def _need_space(home: Path, clip_bytes: int) -> None:
    free = shutil.disk_usage(home).free
    if free < clip_bytes + _SPARE_BYTES:
        raise OSError(
            errno.ENOSPC, f"{free // 1_000_000} MB free, about {clip_bytes // 1_000_000 + 64} MB wanted"
        )


def _disk_words(home: Path, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"{home}: the disk is full ({error.strerror}); free some space or set MASKLOOP_MEDIA_ROOT"
    return (
        f"{home}: cannot be written ({error.strerror or error}); set MASKLOOP_MEDIA_ROOT to a folder of yours"
    )


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Two runs on one source take turns; the second finds the first one's work."""
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
