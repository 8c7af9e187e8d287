"""Run folders of projects: whose a run is, of which snapshot, and whether it is done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput
from pipelines.atomic import write_json

_RUN = "project.json"  # in the run's folder


def unfinished(runs: Path, project_id: int, out: Path | None) -> Path | None:
    """The project's run without a version that was begun last; with ``out`` only the one in there."""
    folders = [out] if out else sorted(runs.glob(f"project-{project_id}-*"), key=_begun, reverse=True)
    for folder in folders:
        told = told_of(folder)
        if told.get("project") == project_id and told.get("snapshot") and not told.get("version"):
            return folder
    return None


def _begun(run: Path) -> float:
    try:
        return (run / _RUN).stat().st_mtime
    except OSError:
        return 0.0


def told_of(run: Path) -> dict[str, Any]:
    """What the run's folder says of itself; nothing for a folder that is no run of a project."""
    try:
        told = json.loads((run / _RUN).read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def claim(run: Path, project_id: int, snapshot: str, fresh: bool) -> None:
    """Make the folder this run's own; with ``fresh`` an earlier run in it is removed."""
    told, mine = told_of(run), {"project": project_id, "snapshot": snapshot}
    if told and fresh:
        shutil.rmtree(run)
    elif told and {name: told.get(name) for name in mine} != mine:
        raise BadInput(
            f"{run} holds a run of another snapshot ({told.get('snapshot')}); choose another --out"
        )
    write_json(run / _RUN, {**mine, "version": ""})


def finish(run: Path, version: str) -> None:
    """Note the version that came of the run."""
    write_json(run / _RUN, {**told_of(run), "version": version})
