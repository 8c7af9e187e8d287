"""What a reader of labelled data finds: clips with masks that are read when they are wanted, and labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput
from backends.core.types import Mask
from pipelines.export.write import RECORD


@dataclass(frozen=True)
class FoundMasks:
    """Of one frame: label -> (H, W) bool, and a sentence on each mask that cannot be used."""

    masks: Mapping[str, Mask] = field(default_factory=dict)
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundClip:
    """One sequence of frames, or one picture."""

    name: str
    frames: tuple[Path, ...]
    names: tuple[str, ...]
    """The frames' own names, kept with the task so that an export gives them back."""
    masks: Callable[[int], FoundMasks] = field(repr=False)
    """Of one frame. Raises BadInput, naming the file, where none of it can be read."""
    categories: Mapping[str, str] = field(default_factory=dict)
    """Object's number -> what it is, where a label is not a category."""


@dataclass(frozen=True)
class FoundData:
    """Everything in a folder; the place of a label is its number, from 1."""

    labels: tuple[str, ...]
    clips: tuple[FoundClip, ...]
    notes: tuple[str, ...] = ()


def record_of(folder: Path) -> Mapping[str, Any]:
    """What ``maskloop export`` said of the folder; empty for folders of others."""
    try:
        told = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) and isinstance(told.get("labels"), dict) else {}


def recorded_labels(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels of an export in the order of their numbers; empty where the record does not say."""
    labels = record.get("labels", {})
    return tuple(str(labels[key]) for key in sorted(labels, key=int) if key.isdecimal())


def numbered(labels: Mapping[int, str]) -> tuple[str, ...]:
    """Number -> label as a list in which each stands at its number; gaps become ``object N``."""
    return tuple(labels.get(number, f"object {number}") for number in range(1, max(labels, default=0) + 1))


def read_json(path: Path) -> Any:
    """Raises BadInput naming the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise BadInput(f"{path}: no JSON ({error})") from error


def choose(there: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The wanted names, or all. Raises BadInput for one that is not there."""
    if missing := [name for name in wanted if name not in there]:
        known = ", ".join(there[:10]) or "none"
        raise BadInput(f"no sequence {', '.join(missing)}; there are {len(there)}, among them {known}")
    return [name for name in there if not wanted or name in wanted]
