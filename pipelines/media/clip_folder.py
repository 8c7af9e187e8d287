"""One clip on disk: ``00000.jpg`` … and ``frames.json``, which says where each frame came from.

A clip folder is written under another name and renamed when it is whole: one that exists is complete.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
from PIL import Image as Pillow

from backends.core.types import Image
from pipelines.atomic import write_json
from pipelines.media.sources import SourceFrame

FRAMES_JSON = "frames.json"
JPEG_QUALITY = 92

_SHOWN = frozenset({".jpg", ".jpeg", ".png", ".webp"})  # by every browser


class ClipFrame:
    """A source frame as annotators see it: scaled, JPEG; encoded when first asked for."""

    suffix = ".jpg"

    def __init__(self, source: SourceFrame, max_side_px: int) -> None:
        self.source = source
        self._max_side_px = max_side_px

    @cached_property
    def _encoded(self) -> tuple[bytes, tuple[int, int], tuple[int, int]]:
        """The file's bytes, its (height, width), and those before scaling."""
        image = self.source.read()
        full_hw = (image.shape[0], image.shape[1])
        height, width = fitted_size(full_hw, self._max_side_px)
        if (height, width) != full_hw:
            image = _resized(image, (height, width))
        buffer = io.BytesIO()
        Pillow.fromarray(image).save(buffer, format="JPEG", quality=JPEG_QUALITY)
        return buffer.getvalue(), (height, width), full_hw

    @property
    def data(self) -> bytes:
        """The file's bytes."""
        return self._encoded[0]

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels after scaling."""
        return self._encoded[1]

    @property
    def source_size_hw(self) -> tuple[int, int]:
        """Height and width in pixels before scaling."""
        return self._encoded[2]


class KeptFrame(ClipFrame):
    """A picture as it is, byte for byte; one of a kind that no browser shows becomes a PNG."""

    def __init__(self, source: SourceFrame) -> None:
        super().__init__(source, max_side_px=0)
        given = source.path.suffix.lower() if source.path else ""
        self.suffix = given if given in _SHOWN else ".png"

    @cached_property
    def _encoded(self) -> tuple[bytes, tuple[int, int], tuple[int, int]]:
        image = self.source.read()  # whole, or it is refused here
        size_hw = (image.shape[0], image.shape[1])
        if self.source.path and self.suffix == self.source.path.suffix.lower():
            return self.source.path.read_bytes(), size_hw, size_hw
        buffer = io.BytesIO()
        Pillow.fromarray(image).save(buffer, format="PNG")
        return buffer.getvalue(), size_hw, size_hw


@dataclass
class ClipWriter:
    """Takes the frames of one clip; ``finish`` puts the folder in place. A folder already there is kept."""

    target: Path
    partial: Path
    newest: ClipFrame | None = None
    """The last frame added: it opens the next clip."""
    _rows: list[dict[str, Any]] = field(default_factory=list)

    @cached_property
    def known(self) -> dict[str, Any] | None:
        """``frames.json`` of the finished folder, or None when it has to be written."""
        return read_clip(self.target)

    def add(self, frame: ClipFrame) -> None:
        """The next frame; written unless the folder is there already."""
        self.newest = frame
        if self.known is not None:
            self._rows.append({})
            return
        self.partial.mkdir(parents=True, exist_ok=True)
        name = f"{len(self._rows):05d}{frame.suffix}"
        (self.partial / name).write_bytes(frame.data)
        self._rows.append(
            {
                "file": name,
                "source_frame": frame.source.number,
                "source_name": frame.source.name,
                "pts_s": frame.source.pts_s,
                "sha256": hashlib.sha256(frame.data).hexdigest(),
            }
        )

    def __len__(self) -> int:
        return len(self._rows)

    def finish(self) -> dict[str, Any]:
        """Rename into place; returns what ``frames.json`` holds."""
        if self.known is not None:
            return self.known
        assert self.newest is not None, "a clip has at least one frame"
        told = {
            "clip": self.target.name,
            "size_hw": list(self.newest.size_hw),
            "source_size_hw": list(self.newest.source_size_hw),
            "frames": self._rows,
        }
        write_json(self.partial / FRAMES_JSON, told)
        shutil.rmtree(self.target, ignore_errors=True)  # there, but with files missing
        self.partial.rename(self.target)
        return told


def read_clip(folder: Path) -> dict[str, Any] | None:
    """``frames.json`` of a clip folder that has all its files; None for anything less."""
    try:
        told: dict[str, Any] = json.loads((folder / FRAMES_JSON).read_text(encoding="utf-8"))
        whole = all((folder / row["file"]).is_file() for row in told["frames"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return told if whole else None


def fitted_size(size_hw: tuple[int, int], max_side_px: int) -> tuple[int, int]:
    """The size that fits ``max_side_px`` in the same shape, both sides even (and at least 2)."""
    scale = min(1.0, max_side_px / max(size_hw))
    height, width = (max(2, 2 * int(side * scale / 2 + 1e-6)) for side in size_hw)
    return height, width


def _resized(image: Image, size_hw: tuple[int, int]) -> Image:
    scaled: Image = cv2.resize(image, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return scaled
