"""A folder of a project's own photos: what is frozen of a Label Studio project, or put together by hand.

``images/`` holds the photos, ``tags.json`` their tags (photo -> list of classes), ``classes.json`` the
classes (``{"names": [...], "novel": [...]}``, in the order of their ids; ``"held_out": [photo, ...]`` may
name the photos to score on) and ``masks/`` index PNGs of the photos that have one, named alike. Without
``held_out`` a fifth of the photos with a mask is held out, chosen by name, so that a photo stays where it
is when others join.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput, BadMask
from backends.core.images import read_index_mask
from backends.weak_shot.classes import ClassSet
from backends.weak_shot.loaders.folders import check_fold, photos_by_stem, read_json, read_tags
from backends.weak_shot.photos import Labels, Photo, Photos

CLASSES, TAGS = "classes.json", "tags.json"
_PARTS = 5  # one photo in so many is held out where the folder does not say which


def recognises(root: Path) -> bool:
    """Whether the folder is laid out so."""
    return (root / CLASSES).is_file() and (root / TAGS).is_file()


def open_photos(root: Path, fold: int) -> Photos:
    """The photos, with what ``classes.json`` calls novel as novel; there is fold 0 only.

    Photos without a tag and photos with a tag that is no class are left out and noted, and so are tags and
    masks of photos that are not there. Raises BadInput when one of the JSON files or the photos are missing
    or of another shape, and when ``held_out`` names a photo that is not there.
    """
    check_fold(fold, (0,), "a snapshot")
    told = read_json(root / CLASSES)
    if not isinstance(told, dict):
        raise BadInput(f'{root / CLASSES}: wants {{"names": [class, ...], "novel": [class, ...]}}')
    try:
        classes = ClassSet.from_json(told)
    except BadInput as error:
        raise BadInput(f"{root / CLASSES}: {error}") from error
    photos, notes = _photos(root, classes)
    apart = _held_out(root, told, photos)
    return Photos(
        classes,
        tuple(photo for photo in photos if photo.name not in apart),
        tuple(photo for photo in photos if photo.name in apart),
        read_mask,
        "snapshot",
        fold,
        tuple(notes),
    )


def read_mask(photo: Photo) -> Labels:
    """The file's numbers are the class ids. Raises BadMask."""
    if photo.mask_path is None:
        raise BadMask(f"{photo.image_path}: this photo has no mask")
    return read_index_mask(photo.mask_path)


def _photos(root: Path, classes: ClassSet) -> tuple[list[Photo], list[str]]:
    images, tags = photos_by_stem(root / "images"), read_tags(root / TAGS)
    masks = {path.stem: path for path in sorted((root / "masks").glob("*.png"))}
    photos, notes = [], []
    for stem, path in images.items():
        unknown = [tag for tag in tags.get(stem, ()) if tag not in classes.names]
        if unknown:
            notes.append(f"{stem} is left out: {', '.join(unknown)} is no class of {CLASSES}")
        elif not tags.get(stem):
            notes.append(f"{stem} is left out: it has no tag in {TAGS}")
        else:
            photos.append(Photo(stem, path, masks.get(stem), tags[stem]))
    for what, names in ((TAGS, tags), ("masks/", masks)):
        if gone := [name for name in names if name not in images]:
            notes.append(f"{what} names {len(gone)} photos that are not there, the first is {gone[0]}")
    if not photos:
        raise BadInput(f"{root}: no photo has a usable tag in {TAGS}" + (f"; {notes[0]}" if notes else ""))
    return photos, notes


def _held_out(root: Path, told: Mapping[str, Any], photos: Sequence[Photo]) -> frozenset[str]:
    names = told.get("held_out")
    if names is None:
        return frozenset(photo.name for photo in photos if photo.mask_path is not None and _drawn(photo.name))
    there = {photo.name for photo in photos}
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadInput(f"{root / CLASSES}: held_out wants a list of photos' names")
    if gone := [name for name in names if name not in there]:
        raise BadInput(f"{root / CLASSES}: held_out names {gone[0]}, which is not among the usable photos")
    return frozenset(names)


def _drawn(name: str) -> bool:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % _PARTS == 0
