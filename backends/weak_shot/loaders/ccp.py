"""CCP-5i: Clothing Co-Parsing photos with four folds of five novel classes.

The folder holds ``images/``, ``masks/`` (index PNGs), ``labels.json`` (label names in the order of the
masks' numbers) and ``image_tags.json`` (photo -> labels in it). Fold ``i`` makes the ``i``-th group of the
table novel; the other groups and the always-base classes are base. Labels outside the table are ignored
(255), ``null`` is background. Photos up to ``train_until`` train, those behind it are held out.
Yang, Luo, Lin: Clothing Co-Parsing by Joint Image Segmentation and Labeling (CVPR 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadInput
from backends.core.images import read_index_mask
from backends.weak_shot.classes import BACKGROUND, IGNORE, ClassSet
from backends.weak_shot.loaders.folders import check_fold, photos_by_stem, read_json, read_tags, table
from backends.weak_shot.photos import Photo, Photos, table_reader

LABELS, TAGS = "labels.json", "image_tags.json"


def recognises(root: Path) -> bool:
    """Whether the folder is laid out so."""
    return (root / LABELS).is_file() and (root / TAGS).is_file()


def open_photos(root: Path, fold: int) -> Photos:
    """The photos with fold 0..3's classes as novel.

    Tags outside the table are dropped. Photos without tags in ``image_tags.json`` or without a mask are left
    out and noted. Raises BadInput for an unknown fold, a ``labels.json`` that lacks the table's classes, a
    missing ``masks/`` and no photo at all; whoever wants a part that is empty says so.
    """
    tables = table("ccp_5i.json")
    check_fold(fold, tables["folds"], "CCP-5i")
    names = (*tables["always_base"], *(name for group in tables["folds"] for name in group))
    classes = ClassSet(names, frozenset(tables["folds"][fold]))
    numbers = _class_of_label(root / LABELS, classes, tables["background"])
    photos, notes = _photos(root, classes)
    until = tables["train_until"]
    train = tuple(photo for photo in photos if photo.name <= until)
    held_out = tuple(photo for photo in photos if photo.name > until)
    return Photos(
        classes, train, held_out, table_reader(numbers, read_index_mask), "CCP-5i", fold, tuple(notes)
    )


def _class_of_label(path: Path, classes: ClassSet, background: str) -> NDArray[np.uint8]:
    labels = read_json(path)
    if not isinstance(labels, list) or not 0 < len(labels) <= IGNORE:
        raise BadInput(f'{path}: wants a list of 1 to {IGNORE} labels, ["{background}", "accessories", ...]')
    if missing := [name for name in (background, *classes.names) if name not in labels]:
        raise BadInput(f"{path}: lacks the labels {', '.join(missing)}, which CCP-5i's folds are made of")
    numbers = np.full(256, IGNORE, np.uint8)
    for name in classes.names:
        numbers[labels.index(name)] = classes.id_of(name)
    numbers[labels.index(background)] = BACKGROUND
    return numbers


def _photos(root: Path, classes: ClassSet) -> tuple[list[Photo], list[str]]:
    images = photos_by_stem(root / "images")
    masks = root / "masks"
    if not masks.is_dir():
        raise BadInput(f"{masks}: no such folder; CCP-5i wants images/ masks/ {LABELS} {TAGS}")
    tags = read_tags(root / TAGS)
    known = set(classes.names)
    photos, without = [], []
    for stem, path in images.items():
        mask = masks / f"{stem}.png"
        if stem not in tags or not mask.is_file():
            without.append(stem)
            continue
        photos.append(Photo(stem, path, mask, tuple(tag for tag in tags[stem] if tag in known)))
    if not photos:
        raise BadInput(f"{root}: no photo has both a mask in masks/ and tags in {TAGS}")
    return photos, _notes(without, [name for name in tags if name not in images])


def _notes(without: Sequence[str], gone: Sequence[str]) -> list[str]:
    notes = []
    if without:
        notes.append(f"{len(without)} photos without mask or tags are left out, the first is {without[0]}")
    if gone:
        notes.append(f"{TAGS} names {len(gone)} photos that are not there, the first is {gone[0]}")
    return notes
