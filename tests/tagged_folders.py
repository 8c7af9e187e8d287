"""Small folders of tagged photos in each layout, drawn on the spot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy.io import savemat

from backends.weak_shot.loaders.folders import table
from pipelines.media.palette import write_index_png

SIZE_HW = (40, 60)
_TABLE = table("ccp_5i.json")
CCP_LABELS = ["null", "accessories", *_TABLE["always_base"], *(name for f in _TABLE["folds"] for name in f)]

Labels = NDArray[np.uint8]


def draw(numbers: Sequence[int], size_hw: tuple[int, int] = SIZE_HW) -> tuple[Labels, Labels]:
    """A photo (H, W, 3) with one upright bar per number, in a colour of its own, and the map of them."""
    height, width = size_hw
    labels = np.zeros(size_hw, np.uint8)
    for place, number in enumerate(numbers):
        left = 4 + place * (width - 8) // len(numbers)
        labels[height // 5 : -height // 5, left : left + (width - 8) // len(numbers) - 3] = number
    colours = np.random.default_rng(7).integers(60, 255, (256, 3)).astype(np.uint8)
    colours[0] = 30
    return colours[labels], labels


def save_photo(path: Path, image: Labels) -> Path:
    """Writes ``image`` as what the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(image).save(path)
    return path


def make_ccp(root: Path, photos: Mapping[str, Sequence[str]]) -> Path:
    """A CCP folder: photo name -> labels drawn in it, in this order; the tags are the same labels."""
    for name, labels in photos.items():
        image, mask = draw([CCP_LABELS.index(label) for label in labels])
        save_photo(root / "images" / f"{name}.png", image)
        write_index_png(root / "masks" / f"{name}.png", mask)
    put_json(root / "labels.json", CCP_LABELS)
    put_json(root / "image_tags.json", {name: sorted(labels) for name, labels in photos.items()})
    return root


def make_voc(root: Path, parts: Mapping[str, Mapping[str, Sequence[int]]]) -> Path:
    """A VOC folder: ``parts["train"|"val"|"sbd"]`` is photo name -> class numbers drawn in it and in its XML.

    Photos of ``sbd`` have their mask as .mat only, beside the folder.
    """
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True, exist_ok=True)
    for part, photos in parts.items():
        for name, numbers in photos.items():
            image, mask = draw(numbers)
            save_photo(root / "JPEGImages" / f"{name}.jpg", image)
            write_xml(root / "Annotations" / f"{name}.xml", numbers)
            if part == "sbd":
                save_mat(root.parent / "SBD" / "cls" / f"{name}.mat", mask)
            else:
                write_index_png(root / "SegmentationClass" / f"{name}.png", mask)
        if part != "sbd":
            (lists / f"{part}.txt").write_text("\n".join(photos) + "\n")
    return root


def write_xml(path: Path, numbers: Sequence[int]) -> None:
    """VOC's annotation with one object per class number."""
    from backends.weak_shot.loaders.voc import NAMES

    path.parent.mkdir(parents=True, exist_ok=True)
    objects = "".join(f"<object><name>{NAMES[number - 1]}</name></object>" for number in numbers)
    path.write_text(f"<annotation>{objects}</annotation>")


def save_mat(path: Path, mask: Labels) -> None:
    """SBD's form of a mask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"GTcls": {"Segmentation": mask, "Boundaries": np.zeros(20, object)}})


def make_stills(root: Path, sequences: Mapping[str, int], empty: Sequence[tuple[str, int]] = ()) -> Path:
    """A DAVIS folder: sequence -> number of frames, white masks, none on the (sequence, frame)s."""
    for name, count in sequences.items():
        for frame in range(count):
            image, mask = draw([1 + frame % 3])
            mask = np.where(mask > 0, 0 if (name, frame) in empty else 255, 0).astype(np.uint8)
            save_photo(root / "JPEGImages" / name / f"{frame:05d}.jpg", image)
            save_photo(root / "Annotations" / name / f"{frame:05d}.png", mask)
    return root


def make_snapshot(
    root: Path, told: object, photos: Mapping[str, Sequence[int]], masks: Sequence[str] = ()
) -> Path:
    """A snapshot: photo name -> class numbers; ``told`` is classes.json; those in ``masks`` have one."""
    names = told["names"] if isinstance(told, dict) else []
    for name, numbers in photos.items():
        image, mask = draw(numbers)
        save_photo(root / "images" / f"{name}.jpg", image)
        if name in masks:
            write_index_png(root / "masks" / f"{name}.png", mask)
    put_json(root / "classes.json", told)
    put_json(root / "tags.json", {name: [names[n - 1] for n in ids] for name, ids in photos.items()})
    return root


def put_json(path: Path, value: object) -> Path:
    """``value`` as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path
