"""YouTube-VOS: frames, index PNGs of some of them, and ``meta.json`` with the category of each object.

Where a number means the same category everywhere and no category has two numbers, categories become labels.
Else labels are ``object N``, and each task keeps what its objects are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput
from pipelines.importing.found import FoundData, numbered, read_json, record_of, recorded_labels
from pipelines.importing.index_maps import below, clip_of, highest_number, sequences
from pipelines.progress import Track, quiet

_WANTS = "YouTube-VOS wants JPEGImages/NAME/*.jpg, Annotations/NAME/*.png and meta.json (in DIR or DIR/train)"

_Categories = dict[str, dict[int, str]]  # clip -> object's number -> category


def read(folder: Path, max_pixels: int, only: Sequence[str] = (), *, progress: Track = quiet) -> FoundData:
    """Every (wanted) sequence below ``folder``. Raises BadInput when there is none, or no ``meta.json``."""
    home = folder if (folder / "JPEGImages").is_dir() else folder / "train"
    images, annotations = below(home, "JPEGImages", _WANTS), below(home, "Annotations", _WANTS)
    found, notes = sequences(images, annotations, only)
    told = _categories(home / "meta.json")
    highest = highest_number(annotations, found, max_pixels, progress)
    labels = recorded_labels(record_of(home)) or _labels(told, highest)
    clips = []
    for name, frames in found.items():
        clip = clip_of(name, frames, annotations, labels, max_pixels)
        objects = told.get(name, {})
        own = {str(n): category for n, category in objects.items() if labels[n - 1 : n] != (category,)}
        clips.append(replace(clip, categories=own))
        if name not in told:
            notes.append(f"{name}: meta.json does not name it, so what its objects are is not known")
    return FoundData(labels, tuple(clips), tuple(notes))


def _labels(told: _Categories, highest: int) -> tuple[str, ...]:
    named: dict[int, set[str]] = {}
    for objects in told.values():
        for number, category in objects.items():
            named.setdefault(number, set()).add(category)
    categories = [next(iter(names)) for names in named.values()]
    is_plain = all(len(names) == 1 for names in named.values()) and len(set(categories)) == len(categories)
    plain = {number: next(iter(names)) for number, names in named.items()} if is_plain else {}
    last = max([highest, *named])
    return numbered({**({last: f"object {last}"} if last else {}), **plain})


def _categories(path: Path) -> _Categories:
    """What ``meta.json`` says. Raises BadInput."""
    told = read_json(path)
    videos = told.get("videos") if isinstance(told, Mapping) else None
    if not isinstance(videos, Mapping):
        raise BadInput(f'{path}: wants {{"videos": {{NAME: {{"objects": {{"1": {{"category": …}}}}}}}}}}')
    return {str(name): _objects(path, name, video) for name, video in videos.items()}


def _objects(path: Path, name: str, video: Any) -> dict[int, str]:
    objects = video.get("objects") if isinstance(video, Mapping) else None
    found: dict[int, str] = {}
    for number, entry in objects.items() if isinstance(objects, Mapping) else ():
        category = entry.get("category") if isinstance(entry, Mapping) else None
        if not str(number).isdecimal() or not 1 <= int(number) <= 254 or not isinstance(category, str):
            raise BadInput(f"{path}: object {number!r} of {name} wants a number from 1 to 254 and a category")
        found[int(number)] = category
    return found
