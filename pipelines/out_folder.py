"""The folder that a command writes to: never the one it reads from, never a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from backends.core.errors import BadInput
from pipelines.atomic import write_json


def check_out(out: Path, read: Mapping[str, Path]) -> None:
    """Raises BadInput where results would fall among what is read (option -> folder), or on a file."""
    for name, given in read.items():
        if out.resolve() == given.resolve():
            raise BadInput(f"--out {out} is the folder given as {name}; its files would be overwritten")
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out {out} is a file; wants a folder")


def write_names(path: Path, names: Mapping[str, str]) -> None:
    """Say what the numbers in the folder's label maps mean. Raises BadInput where they are others."""
    if path.exists():
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInput(f"{path} is there and cannot be read ({error}); choose another --out") from error
        if there != names:
            raise BadInput(f"{path} is there and names other classes; choose another folder for --out")
    write_json(path, names)
