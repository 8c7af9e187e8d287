"""What a clip is made from: a folder of pictures or a video file, as one stream of frames."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from backends.core.errors import BadMedia
from backends.core.frames import FolderFrames, frame_paths
from backends.core.images import SUFFIXES, image_size
from backends.core.types import Image
from pipelines.media.video import Video


@dataclass(frozen=True)
class SourceFrame:
    """One frame where it comes from; ``read`` decodes it (again)."""

    number: int
    """0-based number in the source."""
    name: str
    """The file it came from, or the video's name."""
    pts_s: float | None
    """Presentation time in the video, in seconds; None for pictures."""
    read: Callable[[], Image]
    path: Path | None = None
    """The picture's file; None for a frame of a video."""


class Source(Protocol):
    """A stream of equally sized frames that can be read once. ``notes`` says afterwards what was left out."""

    name: str
    total: int | None
    notes: list[str]

    def digest(self) -> str: ...

    def frames(self) -> Iterator[SourceFrame]: ...


def open_source(path: Path, *, max_pixels: int) -> Source:
    """A folder of pictures or a video file. Raises BadMedia for anything else; nothing is decoded yet."""
    if path.is_dir():
        return Pictures(path.resolve().name, frame_paths(path), max_pixels)
    if not path.exists():
        raise BadMedia(f"{path}: no such file or folder")
    if not path.is_file():
        raise BadMedia(f"{path}: neither a folder nor a plain file")
    if path.suffix.lower() in SUFFIXES:
        raise BadMedia(f"{path}: one picture is no clip; give the folder that holds the frames")
    return VideoSource(path, max_pixels)


class Pictures:
    """Picture files in the order given; every header is checked before the first frame is decoded."""

    def __init__(self, name: str, paths: Sequence[Path], max_pixels: int) -> None:
        self.name = name
        self.notes: list[str] = []
        self._paths, self._max_pixels = tuple(paths), max_pixels
        self.total: int | None = len(self._paths)

    def digest(self) -> str:
        """A name for these files' names and bytes."""
        whole = hashlib.sha256()
        for path in self._paths:
            whole.update(f"{path.name}\0{_file_digest(path)}\n".encode())
        return whole.hexdigest()

    def frames(self) -> Iterator[SourceFrame]:
        """Every picture. Raises BadMedia naming the first one of another size or that cannot be read."""
        sizes = [image_size(path, max_pixels=self._max_pixels) for path in self._paths]
        for path, size in zip(self._paths, sizes, strict=True):
            if size != sizes[0]:
                raise BadMedia(
                    f"{path}: {size[1]}x{size[0]} pixels, but {self._paths[0].name} has "
                    f"{sizes[0][1]}x{sizes[0][0]}; all frames of a clip must have one size"
                )
        pictures = FolderFrames(self._paths, size_hw=sizes[0], max_pixels=self._max_pixels)
        for number, path in enumerate(self._paths):
            yield SourceFrame(number, path.name, None, lambda number=number: pictures[number], path)  # type: ignore[misc]


class VideoSource:
    """A video file, decoded once from front to back."""

    def __init__(self, path: Path, max_pixels: int) -> None:
        self.name = path.name
        self.total: int | None = None  # what a header promises is not believed
        self.notes: list[str] = []
        self._path, self._max_pixels = path, max_pixels

    def digest(self) -> str:
        """A name for the file's bytes."""
        return _file_digest(self._path)

    def frames(self) -> Iterator[SourceFrame]:
        """Every decodable frame. Raises BadMedia when there is none."""
        video = Video(self._path, self._max_pixels)
        for frame in video.frames():
            yield SourceFrame(frame.index, self.name, frame.pts_s, lambda image=frame.image: image)  # type: ignore[misc]
        self.notes = video.notes


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BadMedia(f"{path}: cannot be read ({error.strerror})") from error
