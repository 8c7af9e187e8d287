"""A folder of pictures as a clip: name order, one size, decoded when asked for."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from backends.core.errors import BadMedia
from backends.core.images import MAX_PIXELS, SUFFIXES, image_size, open_image, read_index_mask
from backends.core.types import Clip, Image

__all__ = ["FolderFrames", "clip_from_folder", "frame_paths", "image_size", "open_image", "read_index_mask"]

_KEPT = 8  # decoded frames remembered: a propagation looks back a few frames, a 480p frame is 1.2 MB


class FolderFrames:
    """Image files as ``Frames``: (H, W, 3) RGB uint8 each, all of ``size_hw``; safe to share between threads.

    Reading raises BadMedia when a file went away, broke or has another size than the first.
    """

    def __init__(
        self, paths: Sequence[Path], *, size_hw: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS
    ) -> None:
        if not paths:
            raise BadMedia("no frames: give at least one image file")
        self.paths = tuple(paths)
        self.size_hw = size_hw or image_size(self.paths[0], max_pixels=max_pixels)
        self._max_pixels = max_pixels
        self._recent: OrderedDict[int, Image] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> Image:
        if not 0 <= index < len(self.paths):
            raise IndexError(index)
        with self._lock:
            if index in self._recent:
                self._recent.move_to_end(index)
                return self._recent[index]
        image = open_image(self.paths[index], max_pixels=self._max_pixels)
        _check_size(self.paths[index], (image.shape[0], image.shape[1]), self.paths[0], self.size_hw)
        image.setflags(write=False)  # shared with whoever asks next
        with self._lock:
            self._recent[index] = image
            while len(self._recent) > _KEPT:
                self._recent.popitem(last=False)
        return image


def frame_paths(folder: Path) -> tuple[Path, ...]:
    """The folder's image files in natural name order (2 before 10); hidden and other files are passed over.

    Raises BadMedia when the folder is missing, holds no image, or two files share a stem (their masks would
    share a name).
    """
    if not folder.is_dir():
        raise BadMedia(f"{folder}: no such folder")
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    if not found:
        raise BadMedia(f"{folder}: no frames in it; wants files ending in {', '.join(sorted(SUFFIXES))}")
    found.sort(key=_natural)
    seen: dict[str, Path] = {}
    for path in found:
        if (other := seen.setdefault(path.stem, path)) is not path:
            raise BadMedia(
                f"{folder}: {other.name} and {path.name} are the same frame twice; keep one of them"
            )
    return tuple(found)


def clip_from_folder(folder: Path, *, clip_id: str | None = None, max_pixels: int = MAX_PIXELS) -> Clip:
    """A folder of jpg, png or webp frames as a Clip; ``clip_id`` defaults to the folder's name.

    Every header is read, no pixels. Raises BadMedia for no frames, an unreadable or too large file, and
    frames of differing size (the first odd one is named).
    """
    paths = frame_paths(folder)
    size_hw = image_size(paths[0], max_pixels=max_pixels)
    for path in paths[1:]:
        _check_size(path, image_size(path, max_pixels=max_pixels), paths[0], size_hw)
    frames = FolderFrames(paths, size_hw=size_hw, max_pixels=max_pixels)
    return Clip(clip_id or folder.resolve().name, frames, size_hw, tuple(path.stem for path in paths))


def _check_size(path: Path, size_hw: tuple[int, int], first: Path, wanted_hw: tuple[int, int]) -> None:
    if size_hw != wanted_hw:
        raise BadMedia(
            f"{path}: {size_hw[1]}x{size_hw[0]} pixels, but {first.name} has {wanted_hw[1]}x{wanted_hw[0]}; "
            "all frames of a clip must have one size"
        )


def _natural(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.split(r"(\d+)", path.name)
    key = [(1, int(part), "") if part.isdecimal() and part.isascii() else (0, 0, part) for part in parts]
    return key, path.name
