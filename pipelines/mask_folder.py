"""Masks that a command writes one by one into a folder: what is finished there, and which files are its own.

Each finished mask is a line in a journal beside the masks, written before the mask itself and read again by
the next run, whatever ended the last one. A mask that somebody changed, or that was there before, is known
by its digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import Field, asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pipelines.atomic import write_bytes


class Entry(Protocol):
    """What a command remembers of one finished mask: a dataclass of JSON values."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def name(self) -> str:
        """The mask's file without its ending."""


EntryT = TypeVar("EntryT", bound=Entry)


@dataclass
class MaskFolder(Generic[EntryT]):
    """All that was finished in ``out`` by weights of one version."""

    out: Path
    version: str
    journal: str
    """The journal's file name."""
    done: dict[str, EntryT] = field(default_factory=dict)
    _ours: dict[str, list[str]] = field(default_factory=dict)  # digests of masks made here, the newest last

    def untouched(self, name: str) -> EntryT | None:
        """The entry whose mask is there as it was written last."""
        path = self.mask_path(name)
        if name not in self.done or not path.is_file():
            return None
        return self.done[name] if sha256(path.read_bytes()) == self._ours[name][-1] else None

    def is_foreign(self, name: str) -> bool:
        """Whether a mask lies there that was not made here, or was changed since."""
        path = self.mask_path(name)
        return path.exists() and sha256(path.read_bytes()) not in self._ours.get(name, ())

    def write(self, entry: EntryT, png: bytes) -> None:
        """Write a finished mask. The journal knows it first: whatever ends us, the file is ours."""
        self.out.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"version": self.version, **asdict(entry)}, ensure_ascii=False, allow_nan=False)
        with (self.out / self.journal).open("a", encoding="utf-8") as stream:
            stream.write(f"\n{line}\n")  # the first break ends a line that a kill cut off
        write_bytes(self.mask_path(entry.name), png)
        self.take(entry, sha256(png))

    def take(self, entry: EntryT, mask_sha256: str) -> None:
        """Know of a mask that is finished."""
        self.done[entry.name] = entry
        self._ours.setdefault(entry.name, []).append(mask_sha256)

    def mask_path(self, name: str) -> Path:
        """Where a mask goes."""
        return self.out / f"{name}.png"


def journal_lines(path: Path) -> Iterator[dict[str, Any]]:
    """What a journal holds, oldest first; nothing where there is none."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            value = json.loads(line)
        except ValueError:  # empty, or cut off by a kill: its mask was never written
            continue
        if isinstance(value, dict):
            yield value


def sha256(data: bytes) -> str:
    """64 hex characters."""
    return hashlib.sha256(data).hexdigest()
