"""COCO instances: ``annotations/*.json`` with polygons or RLE, and the pictures they name.

Pictures with a ``video_id``, or in a folder of their own, are the frames of a clip; others are clips of one
frame. An instance is an object: of several of one category in a picture each gets a label of its own, over
time by ``track_id``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from backends.core.errors import BadInput, BadMask
from backends.core.types import Mask
from pipelines.export.formats.losses import Losses
from pipelines.importing.found import FoundClip, FoundData, FoundMasks, read_json, record_of, recorded_labels
from pipelines.importing.groups import Picture, grouped
from pipelines.importing.instances import InstanceLabels, label_of
from pipelines.progress import Track, quiet

_WANTS = "COCO wants annotations/*.json with images, categories and annotations that have a segmentation"
_BAD = "annotations that cannot be used: {count} (first: {first})"
_NO_PICTURE = "pictures that are named and not there: {count} (first: {first})"


def read(folder: Path, max_pixels: int, only: Sequence[str] = (), *, progress: Track = quiet) -> FoundData:
    """All (wanted) clips that the annotation files describe. Raises BadInput when nothing can be used."""
    losses = Losses()
    reader = _Reader(folder, max_pixels, losses)
    files = [path for path in _files(folder) if reader.add(path)]
    if not files:
        raise BadInput(f"{folder}: no annotation file; {_WANTS}")
    record = record_of(folder)
    clips = reader.clips(only, progress)
    labels = reader.labels.labels(keep=recorded_labels(record))
    known = dict.fromkeys(labels)
    found = tuple(reader.found(name, pictures, known) for name, pictures in clips)
    return FoundData(labels, found, losses.sentences())


@dataclass(frozen=True)
class _Instance:
    category: str
    place: int
    segmentation: Any
    name: str
    """For people."""


class _Reader:
    """Collects the files of one folder."""

    def __init__(self, folder: Path, max_pixels: int, losses: Losses) -> None:
        self.folder, self.max_pixels, self.losses = folder, max_pixels, losses
        self.labels = InstanceLabels([])
        self._pictures: dict[tuple[str, int], Picture] = {}
        self._saved: dict[tuple[str, int], list[tuple[str, Mapping[str, Any]]]] = {}
        self._instances: dict[Path, list[_Instance]] = {}

    def add(self, path: Path) -> bool:
        """Take in one file; False where it is no file of instances. Raises BadInput for broken JSON."""
        told = read_json(path)
        if not isinstance(told, dict) or not all(
            isinstance(told.get(key), list) for key in ("images", "annotations", "categories")
        ):
            return False
        if any("segments_info" in one for one in told["annotations"][:1] if isinstance(one, dict)):
            return False  # panoptic
        categories = {one.get("id"): str(one.get("name")) for one in _objects(told["categories"])}
        for number in sorted(key for key in categories if isinstance(key, int)):
            if categories[number] not in self.labels.categories:
                self.labels.categories = [*self.labels.categories, categories[number]]
        videos = {one.get("id"): str(one.get("name")) for one in _objects(told.get("videos", []))}
        for image in _objects(told["images"]):
            self._image(path, image, videos)
        for one in _objects(told["annotations"]):
            key = (path.name, one.get("image_id", -1))
            if key not in self._pictures or one.get("category_id") not in categories:
                self.losses.add(_BAD, f"{path.name}, {one.get('id')}: no such picture or category")
            else:
                self._saved.setdefault(key, []).append((categories[one["category_id"]], one))
        return True

    def clips(self, only: Sequence[str], progress: Track) -> list[tuple[str, tuple[Picture, ...]]]:
        """The pictures as clips, and each instance's place among those of its category."""
        every = list(self._pictures.values())
        clips = grouped(every, only, self.max_pixels, self.losses, progress)
        keys = {picture.path: key for key, picture in self._pictures.items()}
        for name, pictures in clips:
            for picture in pictures:
                saved = self._saved.get(keys[picture.path], [])
                self._instances[picture.path] = [self._instance(name, picture, *one) for one in saved]
        return clips

    def found(self, name: str, pictures: tuple[Picture, ...], labels: Mapping[str, object]) -> FoundClip:
        """One clip."""

        def masks(index: int) -> FoundMasks:
            return self._masks(pictures[index], labels)

        paths = tuple(picture.path for picture in pictures)
        return FoundClip(name, paths, tuple(picture.name for picture in pictures), masks)

    def _image(self, path: Path, image: Mapping[str, Any], videos: Mapping[Any, str]) -> None:
        file = image.get("file_name")
        there = self._locate(path, file) if isinstance(file, str) else None
        sizes = (image.get("height"), image.get("width"))
        if there is None or not isinstance(image.get("id"), int):
            self.losses.add(_NO_PICTURE, f"{path.name}, {file}")
            return
        folder = PurePosixPath(str(file)).parent.name
        group = videos.get(image.get("video_id")) or folder
        order = image.get("frame_index")
        self._pictures[path.name, image["id"]] = Picture(
            there, group, order if isinstance(order, int) else None, sizes
        )

    def _locate(self, path: Path, file: str) -> Path | None:
        """The picture, which must lie below the folder."""
        subset = path.stem.partition("_")[2]
        homes = [self.folder / "images" / subset, self.folder / subset, self.folder / "images", self.folder]
        for home in homes:
            there = (home / file).resolve()
            if there.is_file() and there.is_relative_to(self.folder.resolve()):
                return there
        return None

    def _instance(self, clip: str, picture: Picture, category: str, one: Mapping[str, Any]) -> _Instance:
        track = one.get("track_id", one.get("instance_id"))
        scene = clip if track is not None else (clip, picture.name)
        instance = track if isinstance(track, int | str) else ("one", one.get("id"))
        place = self.labels.place(scene, category, instance)
        return _Instance(category, place, one.get("segmentation"), f"annotation {one.get('id')}")

    def _masks(self, picture: Picture, labels: Mapping[str, object]) -> FoundMasks:
        found: dict[str, Mask] = {}
        refused = []
        for instance in self._instances[picture.path]:
            label = label_of(instance.category, instance.place, labels)
            try:
                mask = decode(instance.segmentation, picture.size_hw)
            except BadMask as error:
                refused.append(f"{instance.name}: {error}")
                continue
            if mask.any():
                found[label] = found[label] | mask if label in found else mask
        return FoundMasks(found, tuple(refused))


def decode(segmentation: Any, size_hw: tuple[int, int]) -> Mask:
    """Polygons, uncompressed or compressed RLE -> (H, W) bool. Raises BadMask."""
    from pycocotools import mask as coco

    height, width = size_hw
    try:
        if isinstance(segmentation, dict):
            if [int(side) for side in segmentation["size"]] != [height, width]:
                raise BadMask(f"RLE of {segmentation['size']}; the picture is {height} high, {width} wide")
            counts = segmentation["counts"]
            packed = segmentation if not isinstance(counts, list) else _packed(counts, size_hw)
        else:
            packed = coco.merge(coco.frPyObjects(_rings(segmentation), height, width))
        return np.asarray(coco.decode(packed), np.bool_)
    except BadMask:
        raise
    except Exception as error:  # the library raises half a dozen unrelated classes on junk
        raise BadMask(f"segmentation cannot be read ({type(error).__name__}: {error})") from error


def _packed(counts: Sequence[Any], size_hw: tuple[int, int]) -> Any:
    from pycocotools import mask as coco

    runs = [int(run) for run in counts]
    if min(runs, default=-1) < 0 or sum(runs) != size_hw[0] * size_hw[1]:
        raise BadMask(f"RLE counts {sum(runs)} pixels; the picture has {size_hw[0] * size_hw[1]}")
    return coco.frPyObjects({"size": list(size_hw), "counts": runs}, *size_hw)


def _rings(segmentation: Any) -> list[list[float]]:
    rings = segmentation if isinstance(segmentation, list) else []
    if rings and all(isinstance(value, int | float) for value in rings):
        rings = [rings]
    found = [[float(value) for value in ring] for ring in rings]
    if not found or any(len(ring) < 6 or len(ring) % 2 or not np.isfinite(ring).all() for ring in found):
        raise BadMask("a polygon wants three points or more, as x, y, x, y, …")
    return found


def _files(folder: Path) -> list[Path]:
    home = folder / "annotations"
    found = sorted((home if home.is_dir() else folder).glob("*.json"))
    return [path for path in found if not path.name.startswith((".", "maskloop", "panoptic"))]


def _objects(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)]
