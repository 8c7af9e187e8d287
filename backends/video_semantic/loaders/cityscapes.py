"""Cityscapes (Cordts et al., CVPR 2016): ``gtFine`` beside ``leftImg8bit_sequence`` (or ``leftImg8bit``).

Every snippet has 30 frames at 17 Hz, of which number 19 is labelled; with ``leftImg8bit`` alone there is just
that frame. Numbers in the files are label ids; the 19 classes that are scored get 0-18 (train ids).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backends.core.errors import BadInput
from backends.video_semantic.scenes import IGNORE, Footage, Scenes

TRAIN_IDS = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
"""Name of each scored class, in the order of train ids -> its label id."""
RATE_HZ = 17.0
_MAP = "_gtFine_labelIds.png"
_FRAME = "_leftImg8bit.png"
WANTS = "gtFine/SPLIT/CITY/*_gtFine_labelIds.png beside leftImg8bit_sequence/ or leftImg8bit/"


def recognises(root: Path) -> bool:
    """Whether ``root`` looks like it."""
    return (root / "gtFine").is_dir()


def open_split(root: Path, split: str) -> Scenes:
    """The snippets of ``split``. Raises BadInput when there are none, or a label map has no frame."""
    maps = sorted((root / "gtFine" / split).glob(f"*/*{_MAP}"))
    if not maps:
        raise BadInput(f"{root} holds no split {split!r}; wants gtFine/{split}/CITY/*{_MAP}")
    stored = np.full(256, IGNORE, np.uint8)
    for train_id, label_id in enumerate(TRAIN_IDS.values()):
        stored[label_id] = train_id
    return Scenes(tuple(TRAIN_IDS), tuple(_snippet(root, split, path) for path in maps), stored)


def _snippet(root: Path, split: str, labels: Path) -> Footage:
    city, stem = labels.parent.name, labels.name.removesuffix(_MAP)  # aachen_000000_000019
    snippet = stem.rpartition("_")[0]
    for folder in ("leftImg8bit_sequence", "leftImg8bit"):
        beside = root / folder / split / city
        frames = tuple(sorted(beside.glob(f"{snippet}_*{_FRAME}")))
        own = beside / f"{stem}{_FRAME}"
        if own in frames:
            frames = _run_around(frames, frames.index(own))
            rate_hz = RATE_HZ if len(frames) > 1 else 0.0
            return Footage(stem, frames, {frames.index(own): labels}, rate_hz)
    raise BadInput(f"{labels}: no frame {stem}{_FRAME} in leftImg8bit_sequence/ or leftImg8bit/")


def _run_around(frames: tuple[Path, ...], at: int) -> tuple[Path, ...]:
    """The frames about ``at`` whose numbers follow each other: a sequence folder numbers through a city."""
    numbers = [int(path.name.removesuffix(_FRAME).rpartition("_")[2]) for path in frames]
    low = at
    while low > 0 and numbers[low - 1] == numbers[low] - 1 and at - low < 19:
        low -= 1
    high = at
    while high + 1 < len(frames) and numbers[high + 1] == numbers[high] + 1 and high - at < 10:
        high += 1
    return frames[low : high + 1]
