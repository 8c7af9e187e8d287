"""Folders of index PNGs beside folders of frames: what DAVIS and YouTube-VOS have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backends.core.errors import BadInput, BadMask
from backends.core.frames import frame_paths
from backends.core.images import MAX_PIXELS, image_size, read_index_mask
from pipelines.importing.found import FoundClip, FoundMasks, choose
from pipelines.media.palette import IndexMap, indices_in, is_white_on_black, white_as_one
from pipelines.progress import Track

_VOID = 255


@dataclass(frozen=True)
class IndexMaps:
    """The masks of one sequence; a frame without a PNG is not labelled."""

    frames: tuple[Path, ...]
    masks: Mapping[str, Path]  # frame's name -> PNG
    labels: tuple[str, ...]
    max_pixels: int = MAX_PIXELS

    def __call__(self, index: int) -> FoundMasks:
        """Label -> mask of a frame. Raises BadMask."""
        path = self.masks.get(self.frames[index].stem)
        if path is None:
            return FoundMasks()
        drawn = read_objects(path, self.max_pixels)
        size_hw = image_size(self.frames[index], max_pixels=self.max_pixels)
        if drawn.shape != size_hw:
            raise BadMask(
                f"{path}: {drawn.shape[1]}x{drawn.shape[0]} pixels; its frame has {size_hw[1]}x{size_hw[0]}"
            )
        numbers = indices_in(drawn)
        if numbers and numbers[-1] > len(self.labels):
            raise BadMask(f"{path}: object {numbers[-1]}, but only {len(self.labels)} objects have names")
        return FoundMasks({self.labels[number - 1]: np.equal(drawn, number) for number in numbers})


def read_objects(path: Path, max_pixels: int) -> IndexMap:
    """An index map with 255 as object 1 where it is white on black, else without what is marked void."""
    drawn = read_index_mask(path, max_pixels=max_pixels)
    if is_white_on_black(drawn):
        return white_as_one(drawn)
    return np.where(drawn == _VOID, 0, drawn).astype(np.uint8)


def sequences(
    images: Path, annotations: Path, only: Sequence[str]
) -> tuple[dict[str, tuple[Path, ...]], list[str]]:
    """Name -> frames of every (wanted) sequence that has masks, and a sentence on each that cannot be used.

    Raises BadInput for a wanted one that is not there, and when none can be used.
    """
    found: dict[str, tuple[Path, ...]] = {}
    notes: list[str] = []
    there = sorted(path.name for path in annotations.iterdir() if path.is_dir() and path.name[0] != ".")
    for name in choose(there, only):
        try:
            found[name] = frame_paths(images / name)
        except BadInput as error:
            notes.append(f"left out: {error}")
            continue
        stems = {path.stem for path in found[name]}
        if stray := sorted(set(_pngs(annotations / name)) - stems):
            notes.append(f"{name}: {len(stray)} masks have no frame ({stray[0]}.png first)")
    if not found:
        first = f" ({notes[0]})" if notes else ""
        raise BadInput(f"{annotations}: no sequence with masks and frames{first}")
    return found, notes


def clip_of(
    name: str, frames: tuple[Path, ...], annotations: Path, labels: tuple[str, ...], max_pixels: int
) -> FoundClip:
    """One sequence."""
    masks = IndexMaps(frames, _pngs(annotations / name), labels, max_pixels)
    return FoundClip(name, frames, tuple(path.stem for path in frames), masks)


def highest_number(annotations: Path, names: Mapping[str, object], max_pixels: int, progress: Track) -> int:
    """The highest object number in the maps of these sequences; maps that cannot be read are told later."""
    paths = [path for name in names for path in _pngs(annotations / name).values()]
    highest = 0
    for path in progress(paths, total=len(paths), label="counting objects"):
        try:
            highest = max(highest, *indices_in(read_objects(path, max_pixels)), 0)
        except BadInput:
            continue
    return highest


def below(folder: Path, part: str, layout: str) -> Path:
    """``folder/part``, or the resolution below it that DAVIS has. Raises BadInput."""
    there = folder / part
    if not there.is_dir():
        raise BadInput(f"{folder}: no folder {part}; {layout}")
    return next((there / size for size in ("480p", "Full-Resolution") if (there / size).is_dir()), there)


def _pngs(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.png")) if not path.name.startswith(".")}
