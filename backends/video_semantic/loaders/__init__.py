"""Readers of the folders that footage with label maps comes in; :func:`open_scenes` finds the right one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backends.core.errors import BadInput
from backends.video_semantic.loaders import camvid, cityscapes, snapshot
from backends.video_semantic.scenes import Scenes


@dataclass(frozen=True)
class Layout:
    """How one kind of folder is told from others and read."""

    recognises: Callable[[Path], bool]
    open_split: Callable[[Path, str], Scenes]
    wants: str


LAYOUTS = {
    "CamVid": Layout(camvid.recognises, camvid.open_split, camvid.WANTS),
    "Cityscapes": Layout(cityscapes.recognises, cityscapes.open_split, cityscapes.WANTS),
    "snapshot": Layout(snapshot.recognises, snapshot.open_split, snapshot.WANTS),
}


def open_scenes(root: Path, split: str) -> Scenes:
    """The footage of ``split`` (train, val, test) below ``root``. Raises BadInput, naming what would work."""
    if not root.is_dir():
        raise BadInput(f"{root}: no such folder")
    for layout in LAYOUTS.values():
        if layout.recognises(root):
            return layout.open_split(root, split)
    wanted = "; ".join(f"{name}: {layout.wants}" for name, layout in LAYOUTS.items())
    raise BadInput(f"{root}: no layout with label maps that is known. {wanted}")
