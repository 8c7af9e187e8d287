"""Where a stage of a run is kept, so that it is found again and never taken for another."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput

SETTINGS = "stage.json"
Settings = Mapping[str, Any]
Place = Callable[[str, Settings], Path]
"""(stage, all that decides its result) -> its folder, made and claimed."""


def in_run(run_dir: Path) -> Place:
    """One folder per stage, named after it. It raises BadInput when it holds a stage of other settings."""

    def place(stage: str, settings: Settings) -> Path:
        folder = run_dir / stage
        _claim(folder, settings)
        return folder

    return place


def shared(root: Path) -> Place:
    """Folders named after stage and settings: runs that need the same stage find the same folder."""

    def place(stage: str, settings: Settings) -> Path:
        folder = root / f"{stage}-{digest(settings)}"
        _claim(folder, settings)
        return folder

    return place


def digest(settings: Settings) -> str:
    """A name for exactly these settings."""
    return hashlib.sha256(_text(settings).encode()).hexdigest()[:12]


def file_digest(path: Path | None) -> str | None:
    """A name for exactly this file; None for none."""
    return None if path is None else hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def write_whole(path: Path, data: bytes) -> None:
    """``data`` in ``path``, whole or not at all; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)


def _claim(folder: Path, settings: Settings) -> None:
    path, text = folder / SETTINGS, _text(settings)
    if path.is_file():
        if path.read_text() != text:
            raise BadInput(
                f"{folder} holds a stage with other settings; choose another --out or those settings"
            )
        return
    write_whole(path, text.encode())


def _text(settings: Settings) -> str:
    return json.dumps(settings, indent=1, sort_keys=True, allow_nan=False)
