"""Small files that say which version is served. Knows lines and names, no weights.

A pointer's first line names the served version, the lines below what was served before, newest first. It is
replaced whole, so whatever dies in between, the old or the new one is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.core.errors import BadInput

ALL = 0
"""In place of a project's number: every project that has no pointer of its own."""

_OWN = re.compile(r"served-([1-9][0-9]{0,11})")
_REMEMBERED = 20  # versions that can be rolled back to, one after another


@dataclass(frozen=True)
class Pointer:
    """One pointer, there or not."""

    path: Path

    def read(self) -> list[str]:
        """The served version and those before it; empty where there is no pointer."""
        try:
            return self.path.read_text().split()
        except FileNotFoundError:
            return []

    def write(self, versions: Sequence[str]) -> None:
        """Serve the first of ``versions``, remember the others. Without any the pointer goes away."""
        if versions:
            replace_file(self.path, "".join(f"{name}\n" for name in versions[:_REMEMBERED]).encode())
        else:
            self.path.unlink(missing_ok=True)


def pointer(folder: Path, project: int = ALL) -> Pointer:
    """The pointer of a project, or of all, in an algorithm's folder. Raises BadInput for no such number."""
    if project == ALL:
        return Pointer(folder / "served")
    name = f"served-{project}"
    if not _OWN.fullmatch(name):
        raise BadInput(f"project {project} is no project's number: those are 1 and more (0: all projects)")
    return Pointer(folder / name)


def projects(folder: Path) -> list[int]:
    """The projects that have a pointer of their own, ascending."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(found[1]) for name in names if (found := _OWN.fullmatch(name)))


def replace_file(path: Path, data: bytes) -> None:
    """The old file or the whole new one, whatever dies in between."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    flush(part)
    part.replace(path)


def flush(path: Path) -> None:
    """Until the file's bytes are on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
