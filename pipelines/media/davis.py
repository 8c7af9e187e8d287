"""The DAVIS folder layout: frames in ``JPEGImages/[480p/]NAME``, masks in ``Annotations/[480p/]NAME``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backends.core.errors import BadInput, BadMask
from backends.core.frames import clip_from_folder
from backends.core.images import read_index_mask
from backends.core.types import Clip, Mask
from pipelines.media.palette import IndexMap, indices_in, is_white_on_black, white_as_one


@dataclass(frozen=True)
class DavisSequence:
    """One sequence: its clip, and a true index map for each frame."""

    name: str
    clip: Clip
    mask_paths: tuple[Path, ...]
    objects: tuple[int, ...]
    """The objects on the first frame; others cannot be followed from it and are not scored."""

    def truth(self, frame_index: int) -> dict[int, Mask]:
        """Each scored object's true mask on a frame; all False where it is not visible."""
        index = read_truth(self.mask_paths[frame_index], self.clip.size_hw, one_object=self.objects == (1,))
        return {number: np.equal(index, number) for number in self.objects}


def sequence_names(data_dir: Path) -> list[str]:
    """All sequences that have both frames and masks, sorted. Raises BadInput when there is none."""
    images, annotations = _below(data_dir, "JPEGImages"), _below(data_dir, "Annotations")
    names = sorted(p.name for p in annotations.iterdir() if p.is_dir() and (images / p.name).is_dir())
    if not names:
        raise BadInput(f"{data_dir}: no sequence has a folder below both JPEGImages and Annotations")
    return names


def choose(data_dir: Path, wanted: Sequence[str] | None) -> list[str]:
    """The wanted sequences, or all. Raises BadInput naming those that are not there."""
    there = sequence_names(data_dir)
    missing = [name for name in wanted or [] if name not in there]
    if missing:
        raise BadInput(f"{data_dir} has no sequence {', '.join(missing)}; it has {', '.join(there)}")
    return list(wanted) if wanted else there


def open_clip(data_dir: Path, name: str) -> Clip:
    """A sequence's frames, whatever its masks are like. Raises BadMedia."""
    return clip_from_folder(_below(data_dir, "JPEGImages") / name, clip_id=name)


def open_sequence(data_dir: Path, name: str) -> DavisSequence:
    """Checks that every frame has its mask and that the first one shows something. Raises BadInput."""
    clip = open_clip(data_dir, name)
    folder = _below(data_dir, "Annotations") / name
    paths = tuple(folder / f"{stem}.png" for stem in clip.names)
    if missing := [path for path in paths if not path.is_file()]:
        raise BadMask(f"{missing[0]}: no such mask ({len(missing)} of {len(paths)} frames lack theirs)")
    first = read_index_mask(paths[0])
    objects = (1,) if is_white_on_black(first) else tuple(i for i in indices_in(first) if i != 255)
    if not objects:
        raise BadMask(f"{paths[0]}: the first mask is empty, so there is nothing to follow")
    return DavisSequence(name, clip, paths, objects)


def read_truth(path: Path, size_hw: tuple[int, int], *, one_object: bool) -> IndexMap:
    """An index map of the frame's size; 255 is object 1 where there is only one, else "void" (ignored)."""
    index = read_index_mask(path)
    if index.shape != size_hw:
        raise BadMask(
            f"{path}: {index.shape[1]}x{index.shape[0]} pixels; its frame has {size_hw[1]}x{size_hw[0]}"
        )
    return white_as_one(index) if one_object and is_white_on_black(index) else index


def _below(data_dir: Path, part: str) -> Path:
    folder = data_dir / part
    if not folder.is_dir():
        raise BadInput(f"{data_dir}: no folder {part}; wants the DAVIS layout, JPEGImages/ and Annotations/")
    return folder / "480p" if (folder / "480p").is_dir() else folder
