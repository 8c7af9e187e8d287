"""Finished exports on disk: named, listed, handed out. What is in them is no business of this module."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput
from backends.ledger import JobRow
from backends.queues import EXPORT_FORMATS, ExportRequest

KEPT = 5
"""Files of one project that stay; an older one goes when a new one is there."""

_NAME = re.compile(r"project-(\d{1,9})-([a-z-]{3,20})-(\d{8}-\d{6})\.zip")


@dataclass(frozen=True)
class ExportShelf:
    """The folder ``exports`` below the data folder, and the wish for one more file in it."""

    data_dir: Path
    enqueue: Callable[[ExportRequest], JobRow]

    def exports(self, project_id: int) -> dict[str, Any]:
        """The formats there are, and the project's files with the newest first."""
        files = [
            {"name": path.name, "format": told[2], "at": path.stat().st_mtime, "bytes": path.stat().st_size}
            for path, told in listed(self.data_dir, project_id)
        ]
        return {"formats": list(EXPORT_FORMATS), "files": files, "kept": KEPT}

    def export(self, project_id: int, format_name: str) -> str:
        """Start one; of a project one at a time."""
        row = self.enqueue(ExportRequest(project_id, format_name))
        under_way = str(row.payload.get("format"))
        if under_way != format_name:
            return f"This project is being exported as {under_way}; ask for {format_name} when that is done."
        return f"Exporting as {format_name}; the file appears here when it is done."

    def export_file(self, name: str) -> Path:
        """A finished export by its name. Raises BadInput for anything else."""
        path = home(self.data_dir) / name
        if not _NAME.fullmatch(name) or path.is_symlink() or not path.is_file():
            raise BadInput(f"there is no export {name!r} (any more)")
        return path.resolve()


def home(data_dir: Path) -> Path:
    """Where finished exports are."""
    return data_dir / "exports"


def new_name(project_id: int, format_name: str) -> str:
    """For an export that is made now."""
    return f"project-{project_id}-{format_name}-{time.strftime('%Y%m%d-%H%M%S')}.zip"


def listed(data_dir: Path, project_id: int) -> list[tuple[Path, re.Match[str]]]:
    """The project's finished exports, the newest first; names say when, so that order is safe."""
    folder = home(data_dir)
    named = [(path, _NAME.fullmatch(path.name)) for path in folder.glob("project-*.zip")]
    ours = [(path, told) for path, told in named if told and int(told[1]) == project_id and path.is_file()]
    return sorted(ours, key=lambda pair: pair[1][3], reverse=True)
