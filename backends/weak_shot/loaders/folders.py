"""What the loaders share: photos by stem, tag files, tables that come with the code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput, BadMedia
from backends.core.images import SUFFIXES


def photos_by_stem(folder: Path) -> dict[str, Path]:
    """The folder's image files by stem, in name order; hidden and other files are passed over.

    Raises BadMedia when the folder is missing or holds no image, and for two files of one stem (they would
    share a mask and tags).
    """
    if not folder.is_dir():
        raise BadMedia(f"{folder}: no such folder of photos")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        if (other := found.setdefault(path.stem, path)) is not path:
            raise BadMedia(f"{folder}: {other.name} and {path.name} share a name; rename one of them")
    if not found:
        raise BadMedia(f"{folder}: no photos in it; wants files ending in {', '.join(sorted(SUFFIXES))}")
    return found


def read_json(path: Path) -> Any:
    """The file's value. Raises BadInput, naming the file, when it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:  # broken JSON, or bytes that are no UTF-8
        raise BadInput(f"{path}: not JSON ({error})") from error


def read_tags(path: Path) -> dict[str, tuple[str, ...]]:
    """A tag file ``{"photo": ["tag", ...], ...}``; doubles within one photo fall together.

    Raises BadInput, naming the file and the entry, for any other shape.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise BadInput(f'{path}: wants {{"photo": ["tag", ...], ...}}, got {_kind(value)}')
    return {name: tags_of(path, name, tags) for name, tags in value.items()}


def tags_of(path: Path, name: str, tags: object) -> tuple[str, ...]:
    """One entry of a tag file. Raises BadInput, naming file and entry, unless it is a list of words."""
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise BadInput(f'{path}: {name!r} has {_kind(tags)}; wants a list of words, ["tag", ...]')
    return tuple(dict.fromkeys(tags))


def table(name: str) -> Mapping[str, Any]:
    """A JSON table that lies beside the loaders."""
    value: Mapping[str, Any] = json.loads((files(__package__) / name).read_text(encoding="utf-8"))
    return value


def check_fold(fold: int, folds: Sequence[object], layout: str) -> None:
    """Raises BadInput unless the layout has this fold."""
    if not 0 <= fold < len(folds):
        last = len(folds) - 1
        raise BadInput(
            f"fold {fold}: {layout} has the folds 0 to {last}"
            if last
            else f"fold {fold}: {layout} has fold 0 only"
        )


def _kind(value: object) -> str:
    words = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return words.get(type(value), "a number")
