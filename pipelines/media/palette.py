"""Mask files: index maps in and out as PNGs with the DAVIS colours, and their objects as masks."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from backends.core.palette import davis_palette
from pipelines.atomic import write_bytes

IndexMap = NDArray[np.uint8]  # (H, W), 0 = background, 1..255 = object


def write_index_png(path: Path, index: IndexMap) -> None:
    """(H, W) uint8 -> a PNG of mode P with the DAVIS palette, written atomically."""
    write_bytes(path, index_png(index))


def index_png(index: IndexMap) -> bytes:
    """(H, W) uint8 -> the bytes of a PNG of mode P with the DAVIS palette."""
    picture = Pillow.fromarray(index).convert("L")
    picture.putpalette(davis_palette().tobytes())  # turns mode L into P, numbers untouched
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def indices_in(index: IndexMap) -> list[int]:
    """The objects in an index map, ascending, without the background."""
    counts = np.bincount(index.ravel(), minlength=256)
    return [int(i) for i in np.flatnonzero(counts) if i != 0]


def is_white_on_black(index: IndexMap) -> bool:
    """Whether 255 is the only thing in it: a {0, 255} mask of one object rather than object number 255."""
    return indices_in(index) == [255]


def white_as_one(index: IndexMap) -> IndexMap:
    """A {0, 255} mask as a map that holds object 1."""
    return np.not_equal(index, 0).astype(np.uint8)
