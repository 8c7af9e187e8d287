"""DAVIS, and what ``maskloop export`` and snapshots write in its layout: one label per object number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from backends.core.errors import BadInput
from pipelines.importing.found import FoundData, numbered, read_json, record_of, recorded_labels
from pipelines.importing.index_maps import below, clip_of, highest_number, sequences
from pipelines.progress import Track, quiet

_WANTS = "DAVIS wants JPEGImages/[480p/]NAME/*.jpg and Annotations/[480p/]NAME/*.png"


def read(folder: Path, max_pixels: int, only: Sequence[str] = (), *, progress: Track = quiet) -> FoundData:
    """Every (wanted) sequence below ``folder``. Raises BadInput when there is none."""
    images, annotations = below(folder, "JPEGImages", _WANTS), below(folder, "Annotations", _WANTS)
    found, notes = sequences(images, annotations, only)
    labels = recorded_labels(record_of(folder)) or _named(folder)
    if not labels:
        highest = highest_number(annotations, found, max_pixels, progress)
        labels = numbered({highest: f"object {highest}"} if highest else {})
    clips = tuple(clip_of(name, frames, annotations, labels, max_pixels) for name, frames in found.items())
    return FoundData(labels, clips, tuple(notes))


def _named(folder: Path) -> tuple[str, ...]:
    """``objects.json``: number -> name, or clip -> number -> name where all clips agree; empty without it."""
    path = folder / "objects.json"
    if not path.is_file():
        return ()
    told = read_json(path)
    rows = list(told.values()) if isinstance(told, Mapping) else []
    named: dict[int, str] = {}
    for row in rows if rows and all(isinstance(row, Mapping) for row in rows) else [told]:
        for number, name in row.items() if isinstance(row, Mapping) else ():
            if not str(number).isdecimal() or named.setdefault(int(number), str(name)) != name:
                raise BadInput(f"{path}: object {number} has two names, or is no number; clips must agree")
    return numbered(named)
