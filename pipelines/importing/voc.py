"""Pascal VOC segmentation: ``SegmentationClass`` and ``SegmentationObject`` PNGs beside ``JPEGImages``.

Classes are told by ``labelmap.txt``, else they are VOC's own twenty. A picture is a clip of one frame, unless
its id names a folder or an export of ours says which clip it is a frame of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from backends.core.errors import BadInput, BadMask
from backends.core.images import SUFFIXES, image_size
from backends.core.palette import colour_codes, davis_palette
from backends.core.types import Mask
from pipelines.export.formats.losses import Losses
from pipelines.importing.found import FoundClip, FoundData, FoundMasks, record_of, recorded_labels
from pipelines.importing.groups import Picture, grouped
from pipelines.importing.instances import InstanceLabels, label_of
from pipelines.progress import Track, quiet

_WANTS = "VOC wants JPEGImages/, SegmentationClass/ and, for objects, SegmentationObject/"
_OWN = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train"),
    "tvmonitor",
)
_NO_PICTURE = "maps without a picture: {count} (first: {first})"
_NO_MAP = "pictures without a class map: {count} (first: {first})"
_BAD = "maps that cannot be used: {count} (first: {first})"
_VOID_CODE = 0xE0E0C0  # the colour of 255 in VOC's palette


def read(folder: Path, max_pixels: int, only: Sequence[str] = (), *, progress: Track = quiet) -> FoundData:
    """Every (wanted) picture that has a class map. Raises BadInput when there is none."""
    homes = [path for path in (folder, folder / "VOC2012") if (path / "SegmentationClass").is_dir()]
    if not homes:
        raise BadInput(f"{folder}: no folder SegmentationClass; {_WANTS}")
    home, losses = homes[0], Losses()
    record = record_of(home)
    classes = _classes(home, recorded_labels(record))
    clips = grouped(_pictures(home, record, losses), only, max_pixels, losses, progress)
    reader = _Reader(home, classes, max_pixels, InstanceLabels(list(classes.values())), losses)
    every = [(name, picture) for name, pictures in clips for picture in pictures]
    for name, picture in progress(every, total=len(every), label="counting objects"):
        reader.count(name, picture)
    labels = reader.labels.labels(keep=recorded_labels(record))
    if not labels:
        why = "; ".join(losses.sentences()) or "all maps are empty"
        raise BadInput(f"{home}: no picture shows a class ({why})")
    found = tuple(reader.found(name, pictures, dict.fromkeys(labels)) for name, pictures in clips)
    return FoundData(labels, found, losses.sentences())


@dataclass(frozen=True)
class _Reader:
    home: Path
    classes: Mapping[int, str]  # colour -> class
    max_pixels: int
    labels: InstanceLabels
    losses: Losses

    def count(self, clip: str, picture: Picture) -> None:
        """Give the picture's instances their places."""
        try:
            for category, instance, _ in self._instances(picture):
                self.labels.place((clip, picture.name), category, instance)
        except BadInput as error:
            self.losses.add(_BAD, error)

    def found(self, name: str, pictures: tuple[Picture, ...], labels: Mapping[str, object]) -> FoundClip:
        """One clip."""

        def masks(index: int) -> FoundMasks:
            found: dict[str, Mask] = {}
            for category, instance, mask in self._instances(pictures[index]):
                place = self.labels.place((name, pictures[index].name), category, instance)
                label = label_of(category, place, labels)
                found[label] = found[label] | mask if label in found else mask
            return FoundMasks(found)

        paths = tuple(picture.path for picture in pictures)
        return FoundClip(name, paths, tuple(picture.name for picture in pictures), masks)

    def _instances(self, picture: Picture) -> list[tuple[str, int, Mask]]:
        """(class, number, mask) of every object, and of what of a class belongs to none (number 0)."""
        name = picture.path.relative_to(self.home / "JPEGImages").with_suffix(".png")
        classes = self._class_map(self.home / "SegmentationClass" / name, picture)
        objects = self._object_map(self.home / "SegmentationObject" / name, picture)
        found: list[tuple[str, int, Mask]] = []
        rest = np.ones(picture.size_hw, np.bool_)
        for number in np.unique(objects).tolist():
            mask = np.equal(objects, number) & (classes != 0)
            if number and mask.any():
                code = int(np.bincount(classes[mask]).argmax())
                found.append((self.classes[code], int(number), mask))
                rest &= ~mask
        for code in np.unique(classes[rest]).tolist():
            if code:
                found.append((self.classes[code], 0, np.equal(classes, code) & rest))
        return found

    def _class_map(self, path: Path, picture: Picture) -> NDArray[np.int64]:
        """(H, W) colours of classes, 0 for background and void. Raises BadMask."""
        codes = _colours(path, self.max_pixels)
        _check_size(path, codes.shape, picture)
        codes[codes == _VOID_CODE] = 0
        if unknown := sorted(set(np.unique(codes).tolist()) - {0, *self.classes}):
            raise BadMask(f"{path}: colour #{unknown[0]:06x} is no class (labelmap.txt says which there are)")
        return codes

    def _object_map(self, path: Path, picture: Picture) -> NDArray[np.int64]:
        """(H, W) numbers of objects, 0 for none; all 0 without a file. Raises BadMask."""
        if not path.is_file():
            return np.zeros(picture.size_hw, np.int64)
        numbers = _numbers(path, self.max_pixels)
        _check_size(path, numbers.shape, picture)
        return numbers


def _colours(path: Path, max_pixels: int) -> NDArray[np.int64]:
    """The colour of every pixel as 0xRRGGBB; a grey map holds places in VOC's palette. Raises BadMask."""
    stored, colours = _stored(path, max_pixels)
    return colours[stored] if stored.ndim == 2 else np.asarray(colour_codes(stored), np.int64)


def _numbers(path: Path, max_pixels: int) -> NDArray[np.int64]:
    """Stored numbers where the map has some, else colours; void is 0. Raises BadMask."""
    stored, _ = _stored(path, max_pixels)
    if stored.ndim == 2:
        return np.where(stored == 255, 0, stored).astype(np.int64)
    codes = _colours(path, max_pixels)
    return np.where(codes == _VOID_CODE, 0, codes)


def _stored(path: Path, max_pixels: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The map as it is, (H, W) numbers or (H, W, 3) colours, and the colour of each number."""
    palette = np.asarray(colour_codes(davis_palette()), np.int64)
    try:
        image_size(path, max_pixels=max_pixels)
        with Pillow.open(path) as image:
            if image.mode == "L":
                return np.asarray(image), palette
            if image.mode == "P":
                own = np.zeros((256, 3), np.uint8)
                listed = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
                own[: len(listed)] = listed
                return np.asarray(image), np.asarray(colour_codes(own), np.int64)
            return np.asarray(image.convert("RGB")), palette
    except BadInput as error:
        raise BadMask(str(error)) from error
    except Exception as error:  # broken files: OSError, ValueError, SyntaxError, struct.error, ...
        raise BadMask(f"{path}: the map cannot be decoded ({error})") from error


def _check_size(path: Path, shape: tuple[int, ...], picture: Picture) -> None:
    if shape != picture.size_hw:
        height, width = picture.size_hw
        raise BadMask(f"{path}: {shape[1]}x{shape[0]} pixels; its picture has {width}x{height}")


def _classes(home: Path, recorded: tuple[str, ...]) -> dict[int, str]:
    """Colour -> class without the background. Raises BadInput for a labelmap that cannot be read."""
    path = home / "labelmap.txt"
    palette = colour_codes(davis_palette()).tolist()
    if recorded or not path.is_file():  # our own: labelmap.txt cannot hold every name
        return dict(zip(palette[1:], recorded or _OWN, strict=False))
    found: dict[int, str] = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    named = [line for line in lines if line.strip() and not line.startswith("#")]
    for number, line in enumerate(named):
        name, _, rest = line.partition(":")
        colour = [part for part in rest.partition(":")[0].split(",") if part]
        if colour and (len(colour) != 3 or not all(part.isdecimal() and int(part) < 256 for part in colour)):
            raise BadInput(f"{path}: {line!r} wants label:red,green,blue:parts:actions")
        code = int(colour_codes(np.array(colour or davis_palette()[number], np.uint8)))
        if code:
            found[code] = name
    return found


def _pictures(home: Path, record: Mapping[str, object], losses: Losses) -> list[Picture]:
    """Every picture that a list names and that has a class map; without lists every one with a map."""
    lists = sorted((home / "ImageSets" / "Segmentation").glob("*.txt"))
    lines = [line.split() for path in lists for line in path.read_text(encoding="utf-8").splitlines()]
    maps = home / "SegmentationClass"
    ids = [words[0] for words in lines if words] or [
        path.relative_to(maps).with_suffix("").as_posix() for path in sorted(maps.rglob("*.png"))
    ]
    frames = _frames_of(record)
    found = []
    for name in dict.fromkeys(ids):
        path = _picture(home / "JPEGImages", name)
        if path is None:
            losses.add(_NO_PICTURE, name)
        elif not (maps / f"{name}.png").is_file():
            losses.add(_NO_MAP, name)
        else:
            clip, order, stem = frames.get(name, (PurePosixPath(name).parent.name, None, ""))
            found.append(Picture(path, clip, order, stem=stem))
    return found


def _frames_of(record: Mapping[str, object]) -> dict[str, tuple[str, int | None, str]]:
    """Of an export of ours: picture -> clip, place in it, name of the frame."""
    clips = record.get("clips")
    found: dict[str, tuple[str, int | None, str]] = {}
    for clip, told in clips.items() if isinstance(clips, Mapping) else ():
        names = told.get("frames") if isinstance(told, Mapping) else None
        for order, name in enumerate(names if isinstance(names, list) else ()):
            found[f"{clip}_{name}"] = (str(clip), order, str(name))
    return found


def _picture(home: Path, name: str) -> Path | None:
    """The picture of an id, below ``home``."""
    for suffix in sorted(SUFFIXES):
        path = home / f"{name}{suffix}"
        if path.is_file() and path.resolve().is_relative_to(home.resolve()):
            return path
    return None
