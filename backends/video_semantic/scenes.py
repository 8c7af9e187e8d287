"""Footage with label maps: frames in order, which of them are labelled, and what the numbers mean.

Loaders (``loaders/``) make these from folders; nothing is read before it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadMask
from backends.core.images import image_size, open_image, read_index_mask
from backends.core.types import Image

Labels = NDArray[np.uint8]
IGNORE = 255


@dataclass(frozen=True)
class Footage:
    """Frames of one camera in order of time. ``labels``: frame index -> file, for those that have one."""

    name: str
    frames: tuple[Path, ...]
    labels: Mapping[int, Path]
    rate_hz: float
    """Frames per second; 0 where frames have nothing to do with each other."""


@dataclass(frozen=True)
class Scenes:
    """All footage of one split. ``stored`` maps the numbers in label files to class ids (256,) or IGNORE."""

    classes: tuple[str, ...]
    footage: tuple[Footage, ...]
    stored: Labels = field(default_factory=lambda: np.arange(256, dtype=np.uint8))

    def labelled(self) -> list[tuple[int, int]]:
        """(footage index, frame index) of every labelled frame, in order."""
        return [(n, index) for n, part in enumerate(self.footage) for index in sorted(part.labels)]

    def image(self, footage: int, frame: int) -> Image:
        """(H, W, 3) RGB uint8. Raises BadMedia."""
        return open_image(self.footage[footage].frames[frame])

    def labels(self, footage: int, frame: int) -> Labels:
        """(H, W) uint8 class ids, IGNORE where nothing counts. Raises BadMask, also for an unknown class."""
        part = self.footage[footage]
        path = part.labels[frame]
        found = self.stored[read_index_mask(path)]
        wanted = image_size(part.frames[frame])
        if found.shape != wanted:
            raise BadMask(
                f"{path}: {found.shape[1]}x{found.shape[0]} pixels, its frame has {wanted[1]}x{wanted[0]}"
            )
        high = found[found != IGNORE]
        if high.size and int(high.max()) >= len(self.classes):
            raise BadMask(f"{path}: class {int(high.max())}; there are {len(self.classes)} classes, 0 first")
        return found


def without_tail(scenes: Scenes, share: float) -> Scenes:
    """The first part of every footage, without the last ``share`` of its labelled frames: to learn from."""
    return _cut(scenes, lambda count: slice(0, count - round(share * count)))


def tail(scenes: Scenes, share: float) -> Scenes:
    """What :func:`without_tail` leaves out: to choose on. Neighbours in time stay on one side of the cut."""
    return _cut(scenes, lambda count: slice(count - round(share * count), count))


def _cut(scenes: Scenes, chosen: Callable[[int], slice]) -> Scenes:
    parts = []
    for part in scenes.footage:
        kept = sorted(part.labels)[chosen(len(part.labels))]
        if kept:
            parts.append(replace(part, labels={index: part.labels[index] for index in kept}))
    return replace(scenes, footage=tuple(parts))
