"""Photos and label maps in memory, decoded once and kept small: training reads each of them many times."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.core.types import Image

Labels = NDArray[np.uint8]


@dataclass
class Shelf:
    """Arrays by name, the least recently read one given up when ``limit_bytes`` are exceeded."""

    limit_bytes: int
    _kept: OrderedDict[Hashable, NDArray[Any]] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def get(self, name: Hashable, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """The array ``name``, made when it is not here."""
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        made = make()
        self._kept[name] = made
        self._bytes += made.nbytes
        while self._bytes > self.limit_bytes and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return made


def reduced(image: Image, long_side_px: int) -> Image:
    """(H, W, 3) uint8 with its longer side at most ``long_side_px``; never enlarged, never under 1 px."""
    size = reduced_size(image.shape[:2], long_side_px)
    if size == image.shape[:2]:
        return image
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def reduced_labels(labels: Labels, size_hw: tuple[int, int]) -> Labels:
    """(H, W) label map at ``size_hw``, nearest."""
    if labels.shape == size_hw:
        return labels
    return np.asarray(cv2.resize(labels, size_hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def reduced_size(size_hw: tuple[int, ...], long_side_px: int) -> tuple[int, int]:
    """(height, width) with the longer side at most ``long_side_px``, of the same shape."""
    height, width = size_hw[:2]
    scale = min(1.0, long_side_px / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))
