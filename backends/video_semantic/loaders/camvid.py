"""CamVid (Brostow et al., 2008) at 480x360 with 11 classes, in the layout of SegNet's tutorial.

``train/``, ``val/``, ``test/`` hold frames named ``CLIP_NUMBER`` and ``trainannot/`` ... label maps of the
same names; the numbers count frames of 30 Hz footage. Training stills come at 1 Hz. Where a user has the raw
footage, its frames in ``raw/`` under the same names fill the gaps, scaled to the size of the label maps
beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from backends.core.errors import BadInput
from backends.core.frames import frame_paths
from backends.core.images import SUFFIXES
from backends.video_semantic.scenes import IGNORE, Footage, Scenes

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
VOID = 11
RATE_HZ = 30.0
"""Of the footage that the numbers count."""
LONGEST_GAP = 45
"""Numbers between neighbours; beyond that another piece of footage begins."""
WANTS = "train/ and trainannot/ with frames CLIP_NUMBER.png|jpg|webp and label maps of the same names"


def recognises(root: Path) -> bool:
    """Whether ``root`` looks like it."""
    return any((root / f"{split}annot").is_dir() for split in ("train", "val", "test"))


def open_split(root: Path, split: str) -> Scenes:
    """The footage of ``split``, cut where the numbers jump. Raises BadInput."""
    if not (root / split).is_dir() or not (root / f"{split}annot").is_dir():
        raise BadInput(f"{root} holds no split {split!r}; wants {split}/ and {split}annot/")
    maps = {path.stem: path for path in frame_paths(root / f"{split}annot")}
    frames = {path.stem: path for path in frame_paths(root / split)}
    for name in maps:
        if name not in frames:
            raise BadInput(f"{maps[name]}: no frame of that name in {root / split}")
    frames = _raw(root, frames) | frames
    footage = tuple(_cut(frames, maps))
    stored = np.full(256, IGNORE, np.uint8)
    stored[:VOID] = np.arange(VOID)
    stored[VOID + 1 : IGNORE] = np.arange(VOID + 1, IGNORE)  # kept, so that Scenes can refuse them
    return Scenes(CLASSES, footage, stored)


def _raw(root: Path, frames: dict[str, Path]) -> dict[str, Path]:
    """Frames of ``raw/`` between the first and the last of the split's own, clip by clip."""
    if not (root / "raw").is_dir():
        return {}
    ends: dict[str, tuple[int, int]] = {}
    for name in frames:
        clip, number = _parts(name)
        low, high = ends.get(clip, (number, number))
        ends[clip] = (min(low, number - int(RATE_HZ)), max(high, number))
    found = {}
    for path in (root / "raw").iterdir():
        if path.suffix.lower() in SUFFIXES:
            clip, number = _parts(path.stem)
            if clip in ends and ends[clip][0] <= number <= ends[clip][1]:
                found[path.stem] = path
    return found


def _cut(frames: dict[str, Path], maps: dict[str, Path]) -> Iterator[Footage]:
    names = sorted(frames, key=_parts)
    begin = 0
    for end in range(1, len(names) + 1):
        if end < len(names) and _follows(names[end - 1], names[end]):
            continue
        part = names[begin:end]
        begin = end
        labels = {i: maps[name] for i, name in enumerate(part) if name in maps}
        if labels:
            yield Footage(part[0], tuple(frames[name] for name in part), labels, _rate(part))


def _follows(before: str, after: str) -> bool:
    (clip, number), (other, later) = _parts(before), _parts(after)
    return clip == other and 0 < later - number <= LONGEST_GAP


def _rate(names: list[str]) -> float:
    if len(names) < 2:
        return 0.0
    steps = np.diff([_parts(name)[1] for name in names])
    return RATE_HZ / float(np.median(steps))


def _parts(name: str) -> tuple[str, int]:
    """``0016E5_07959`` -> (``0016E5``, 7959). Raises BadInput for another name."""
    clip, _, number = name.rpartition("_")
    digits = "".join(c for c in number if c.isascii() and c.isdecimal())
    if not clip or not digits:
        raise BadInput(f"frame {name!r}: wants CLIP_NUMBER, as in 0016E5_07959")
    return clip, int(digits)
