"""Folders of photos in the layouts that people have, each opened as one ``Photos``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from backends.core.errors import BadInput
from backends.weak_shot.loaders import ccp, davis_stills, snapshot, voc
from backends.weak_shot.photos import Photos

Opener = Callable[[Path, int], Photos]

_LAYOUTS: tuple[tuple[Callable[[Path], bool], Opener], ...] = (
    (ccp.recognises, ccp.open_photos),
    (voc.recognises, voc.open_photos),  # before DAVIS, whose two main folders have the same names
    (davis_stills.recognises, davis_stills.open_photos),
    (snapshot.recognises, snapshot.open_photos),
)


def open_photos(root: Path, fold: int = 0) -> Photos:
    """The photos below ``root`` with fold ``fold``'s classes as novel; the layout is told from its files.

    Raises BadInput for no folder, an unknown layout, a fold that the layout does not have, and photos that
    cannot be used for it (each loader says which).
    """
    if not root.is_dir():
        raise BadInput(f"{root}: no such folder of photos")
    for recognises, opener in _LAYOUTS:
        if recognises(root):
            return opener(root, fold)
    raise BadInput(
        f"{root}: no known layout of photos; wants images/ masks/ labels.json image_tags.json (CCP), "
        "JPEGImages/ Annotations/ ImageSets/ (Pascal VOC 2012), JPEGImages/ Annotations/ with a folder per "
        "sequence (DAVIS), or images/ tags.json classes.json (a snapshot)"
    )
