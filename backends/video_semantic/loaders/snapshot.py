"""A snapshot of a project's whole-scene labels: ``classes.json``, ``frames/CLIP/`` and ``masks/CLIP/``.

``classes.json`` is the list of class names, or an object with that list as ``classes``; label maps hold the
index of the class, 255 where nothing counts, and exist for the frames that a person labelled. A list of clip
names under ``val`` in that object keeps those for validation.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput
from backends.core.frames import frame_paths
from backends.video_semantic.scenes import Footage, Scenes

WANTS = "classes.json, frames/CLIP/*.jpg|png|webp and masks/CLIP/*.png"
ASSUMED_HZ = 15.0


def recognises(root: Path) -> bool:
    """Whether ``root`` looks like it."""
    return (root / "classes.json").is_file() and (root / "frames").is_dir()


def open_split(root: Path, split: str) -> Scenes:
    """The clips of ``split``; without a ``val`` list every clip is of ``train``. Raises BadInput."""
    about = _read(root / "classes.json")
    kept = set(about.get("val", ()))
    footage = []
    for clip in sorted(path for path in (root / "frames").iterdir() if path.is_dir()):
        if (clip.name in kept) == (split == "val"):
            footage += _clip(root, clip)
    if not footage:
        raise BadInput(f"{root}: no labelled clip of split {split!r}")
    return Scenes(tuple(about["classes"]), tuple(footage))


def _clip(root: Path, clip: Path) -> list[Footage]:
    frames = frame_paths(clip)
    masks = {path.stem: path for path in (root / "masks" / clip.name).glob("*.png")}
    labels = {i: masks[path.stem] for i, path in enumerate(frames) if path.stem in masks}
    return [Footage(clip.name, frames, labels, ASSUMED_HZ)] if labels else []


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise BadInput(f"{path}: {error}") from error
    about = {"classes": found} if isinstance(found, list) else found
    names = about.get("classes") if isinstance(about, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(names) < 2:
        raise BadInput(f"{path}: wants a list of two or more class names")
    if len(set(names)) != len(names):
        raise BadInput(f"{path}: a class is named twice")
    return dict(about)
