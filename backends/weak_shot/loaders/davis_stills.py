"""DAVIS-stills: every fifth frame of DAVIS-2016's training sequences as a tagged photo.

The folder holds ``JPEGImages/[480p/]SEQUENCE/`` and ``Annotations/[480p/]SEQUENCE/``. Each sequence has one
foreground class, by its object (``davis_stills.json``; riders belong to what they ride). Fold 0 makes the
animals novel, fold 1 the vehicles. The split lies inside the sequences, by time: the first seven tenths of
each train, the rest is held out. Frames on which the object is not visible carry no tag and are left out.
Perazzi et al.: A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation (CVPR 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from backends.core.errors import BadMask
from backends.core.images import SUFFIXES, read_index_mask
from backends.weak_shot.classes import ClassSet
from backends.weak_shot.loaders.folders import check_fold, table
from backends.weak_shot.photos import Labels, Photo, Photos


def recognises(root: Path) -> bool:
    """Whether both folders hold folders of a sequence in the table."""
    known = class_of_sequence()
    images, masks = _below(root, "JPEGImages"), _below(root, "Annotations")
    return any((images / name).is_dir() and (masks / name).is_dir() for name in known)


def open_photos(root: Path, fold: int) -> Photos:
    """The stills with fold 0's or fold 1's classes as novel; photos are called ``SEQUENCE/FRAME``.

    Reads every fifth mask to leave empty ones out. Raises BadInput for an unknown fold and BadMask for a
    broken mask. Sequences that the table does not know, and frames without a mask, are left out and noted.
    """
    tables = table("davis_stills.json")
    check_fold(fold, tables["folds"], "DAVIS-stills")
    classes = ClassSet(tuple(tables["classes"]), frozenset(tables["folds"][fold]))
    class_of = class_of_sequence()
    images = _below(root, "JPEGImages")
    there = sorted(path.name for path in images.iterdir() if path.is_dir())
    train: list[Photo] = []
    held_out: list[Photo] = []
    for name in tqdm([name for name in there if name in class_of], desc="reading stills", unit="video"):
        stills = list(_stills(root, name, class_of[name], tables["every"]))
        cut = round(tables["train_share"] * len(stills))
        train += stills[:cut]
        held_out += stills[cut:]
    strange = [name for name in there if name not in class_of]
    notes = (f"sequences without a class are left out: {', '.join(strange)}",) if strange else ()
    reader = _reader(classes)
    return Photos(classes, tuple(train), tuple(held_out), reader, "DAVIS-stills", fold, notes)


def _stills(root: Path, sequence: str, name: str, every: int) -> Iterator[Photo]:
    masks = _below(root, "Annotations") / sequence
    paths = sorted(
        path
        for path in (_below(root, "JPEGImages") / sequence).iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    for path in paths[::every]:
        mask = masks / f"{path.stem}.png"
        if mask.is_file() and read_index_mask(mask).any():
            yield Photo(f"{sequence}/{path.stem}", path, mask, (name,))


def _reader(classes: ClassSet) -> Callable[[Photo], Labels]:
    def read_mask(photo: Photo) -> Labels:
        if photo.mask_path is None:
            raise BadMask(f"{photo.image_path}: this photo has no mask")
        number = classes.id_of(photo.tags[0])
        return np.where(read_index_mask(photo.mask_path) > 0, number, 0).astype(np.uint8)

    return read_mask


def class_of_sequence() -> dict[str, str]:
    """The table, turned round: sequence -> its class."""
    groups = table("davis_stills.json")["classes"]
    return {sequence: name for name, sequences in groups.items() for sequence in sequences}


def _below(root: Path, part: str) -> Path:
    folder = root / part
    return folder / "480p" if (folder / "480p").is_dir() else folder
