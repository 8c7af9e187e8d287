"""A project's work written as a data set: all of it or nothing.

The files are written into a hidden folder beside ``out`` and renamed when they are whole. ``maskloop.json``
among them says what the folder is; one with it is replaced by the next export of the same project and format,
any other folder that is not empty is left alone.
"""

from __future__ import annotations

import errno
import json
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput, SetupFault
from pipelines.atomic import write_json
from pipelines.export.formats import FORMATS
from pipelines.export.formats.view import frame_names
from pipelines.export.project import ProjectWork
from pipelines.progress import Track, quiet

RECORD = "maskloop.json"
VERSION = 1
_TOLD_OF_TASK = ("source", "start", "fps")  # where a clip was cut from
_STALE_S = 6 * 3600.0  # what a killed run left behind


@dataclass(frozen=True)
class Exported:
    """A finished export."""

    folder: Path
    clips: int
    frames: int
    lost: tuple[str, ...]
    """What the format cannot hold, and what of this project was lost by it."""


def export(work: ProjectWork, format_name: str, out: Path, *, progress: Track = quiet) -> Exported:
    """Write ``work`` to the folder ``out``.

    Raises BadInput for an unknown format, a project without work, and an ``out`` that holds anything but an
    export of this project in this format; SetupFault for a disk that is full. ``out`` is then as it was.
    """
    write = check_format(format_name)
    if not work.clips:
        raise BadInput(_nothing(work))
    out = out.resolve()
    check_out(out, work.project_id, format_name)
    part = out.parent / f".{out.name}.part-{secrets.token_hex(4)}"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _sweep(out)
        part.mkdir()
        lost = write(work, part, progress=progress)
        write_json(part / RECORD, _record(work, format_name, lost, part))
        _put_in_place(part, out, work.project_id, format_name)
    except OSError as error:
        raise SetupFault(_disk_words(out, error)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Exported(out, len(work.clips), sum(len(clip.frames) for clip in work.clips), lost)


def check_format(format_name: str) -> Any:
    """The format's writer. Raises BadInput naming those there are."""
    if format_name not in FORMATS:
        raise BadInput(f"no format {format_name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[format_name]


def check_out(out: Path, project_id: int, format_name: str) -> None:
    """Raise BadInput unless ``out`` is free, or holds nothing but an export that this one replaces."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out {out} is a file; wants a folder")
    there = set(_files(out)) if out.is_dir() else set()
    if not there:
        return
    record = _read_record(out)
    if record is None:
        raise BadInput(f"--out {out} holds other files ({min(there)}); name a new or an empty folder")
    if (record.get("project"), record.get("format")) != (project_id, format_name):
        raise BadInput(
            f"--out {out} holds project {record.get('project')} as {record.get('format')}; name another one"
        )
    if added := there - {*record["files"], RECORD}:
        raise BadInput(f"--out {out} holds {min(added)}, which no export put there; name another folder")


def _put_in_place(part: Path, out: Path, project_id: int, format_name: str) -> None:
    """``part`` becomes ``out``; an older export there goes away afterwards."""
    check_out(out, project_id, format_name)  # it may have changed while frames were written
    if not out.exists():
        part.rename(out)
        return
    aside = part.with_name(f"{part.name}-old")
    out.rename(aside)
    try:
        part.rename(out)
    except BaseException:
        aside.rename(out)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _record(work: ProjectWork, format_name: str, lost: tuple[str, ...], part: Path) -> dict[str, Any]:
    """What a reader of the folder, and the next export, want to know."""
    clips = {
        clip.name: {
            "task": clip.work.task_id,
            "video": clip.video,
            "frames": list(frame_names(clip)),
            "size_hw": list(clip.size_hw),
            **{key: clip.data[key] for key in _TOLD_OF_TASK if key in clip.data},
        }
        for clip in work.clips
    }
    return {
        "format": format_name,
        "version": VERSION,
        "project": work.project_id,
        "title": work.title,
        "kind": work.kind,
        "labels": {str(number): label for number, label in enumerate(work.labels, 1)},
        "clips": clips,
        "lost": list(lost),
        "notes": list(work.notes),
        "files": sorted(_files(part)),
    }


def _read_record(folder: Path) -> dict[str, Any] | None:
    """What an export said of itself; None where there is none that can be read."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(record, dict) and isinstance(record.get("files"), list)
    return record if ours else None


def _files(folder: Path) -> Iterator[str]:
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def _sweep(out: Path) -> None:
    for left in out.parent.glob(f".{out.name}.part-*"):
        with suppress(OSError):
            if left.stat().st_mtime < time.time() - _STALE_S:
                shutil.rmtree(left, ignore_errors=True)


def _nothing(work: ProjectWork) -> str:
    first = f" (the first note: {work.notes[0]})" if work.notes else ""
    return (
        f"project {work.project_id} ({work.title}) has nothing to export: none of its {work.tasks} tasks has "
        f"a submitted annotation that can be used{first}"
    )


def _disk_words(out: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"--out {out}: the disk is full; nothing was written. Free some space or name another folder"
    return f"--out {out}: cannot be written ({error.filename or ''} {error.strerror or error})"
