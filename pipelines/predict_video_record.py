"""What ``maskloop predict-video`` has done in a folder: it goes on from there and spares others' work.

Each finished frame is a line in a journal beside the label maps, written before the map itself and read again
by the next run, whatever ended the last one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput
from pipelines.atomic import write_bytes

JOURNAL = ".predict-video.jsonl"


@dataclass(frozen=True)
class Done:
    """One finished frame."""

    name: str
    seen: str
    """Digest of all that its answer came from; see :func:`digest_of`."""
    mask: str
    """SHA-256 of the label map's file."""
    opens: bool
    """It was answered as the first of a clip or a scene."""
    confidence: Mapping[str, float]
    """By class, of those it shows."""


@dataclass
class Record:
    """All that was finished in ``out`` by weights of one version."""

    out: Path
    version: str
    done: dict[str, Done] = field(default_factory=dict)
    _ours: dict[str, set[str]] = field(default_factory=dict)  # digests of maps that were made here

    def finished(self, name: str, seen: str) -> Done | None:
        """The frame's entry when its map is there, untouched, made of the same pictures."""
        found = self.done.get(name)
        if found is None or found.seen != seen:
            return None
        path = self.path(name)
        return found if path.is_file() and sha256(path.read_bytes()) == found.mask else None

    def is_foreign(self, name: str) -> bool:
        """Whether a map lies there that was not made here, or was changed since."""
        path = self.path(name)
        return path.exists() and sha256(path.read_bytes()) not in self._ours.get(name, set())

    def write(self, entry: Done, png: bytes) -> None:
        """Write a finished frame's map. The journal knows it first: whatever ends us, the file is ours."""
        self.out.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"version": self.version, **asdict(entry)}, ensure_ascii=False, allow_nan=False)
        with (self.out / JOURNAL).open("a", encoding="utf-8") as stream:
            stream.write(f"\n{line}\n")  # the first break ends a line that a kill cut off
        write_bytes(self.path(entry.name), png)
        self._take(entry)

    def path(self, name: str) -> Path:
        """Where the frame's label map goes."""
        return self.out / f"{name}.png"

    def _take(self, entry: Done) -> None:
        self.done[entry.name] = entry
        self._ours.setdefault(entry.name, set()).add(entry.mask)


def open_record(out: Path, version: str) -> Record:
    """What was done in ``out`` so far, nothing for a new folder.

    Raises BadInput when the maps there are another version's: their numbers may mean other classes.
    """
    record = Record(out, version)
    path = out / JOURNAL
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    for value in filter(None, map(_value, lines)):
        if value.pop("version", None) != version:
            raise BadInput(f"--out {out} holds the answers of another version than {version}; choose another")
        try:
            record._take(Done(**value))
        except TypeError as error:
            raise BadInput(
                f"{path}: not written by predict-video; choose another folder for --out"
            ) from error
    return record


def digest_of(pictures: Sequence[str], settings: object) -> str:
    """A name for what one answer came from: digests of the files in reach, the frame's last, and settings."""
    return sha256(json.dumps([*pictures, settings]).encode())


def sha256(data: bytes) -> str:
    """64 hex characters."""
    return hashlib.sha256(data).hexdigest()


def _value(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:  # empty, or cut off by a kill: its map was never written
        return None
    return value if isinstance(value, dict) else None
