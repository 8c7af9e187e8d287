"""The pictures of a labelled clip for the console: each frame as a JPEG, its labels as a PNG to lay over it.

Made when they are asked for, of the frame's file and the ledger's masks, and kept while there is room.
"""

from __future__ import annotations

import colorsys
import io
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image as Pillow
from PIL import ImageColor

from backends.anchors import FrameFiles
from backends.core.errors import BadInput, BadMedia
from backends.core.images import open_image
from backends.ledger import JobRow, Ledger

SHOWN_PX = 960
"""Longest side of what is sent; larger frames are made smaller."""

KEPT_BYTES = 48_000_000
"""Of finished pictures; a clip of 50 frames at 480p is about 5 MB."""

AT_ONCE = 2
"""Pictures made at the same time: a large frame takes 150 MB until it is small."""

_QUALITY = 85
_GOLDEN = (math.sqrt(5) - 1) / 2
_MOST_LABELS = 255  # number 0 is "no label"


class ClipPictures:
    """Makes and keeps pictures. Safe to share between threads."""

    def __init__(
        self, ledger: Ledger, files: FrameFiles, max_pixels: int, *, kept_bytes: int = KEPT_BYTES
    ) -> None:
        self._ledger = ledger
        self._files = files
        self._max_pixels = max_pixels
        self._kept_bytes = kept_bytes
        self._kept: OrderedDict[tuple[str, int, str], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._makers = threading.Semaphore(AT_ONCE)

    def frame(self, row: JobRow, index: int) -> bytes:
        """Frame ``index`` of the job as a JPEG. Raises BadMedia, LabelStudioDown or TokenRefused."""
        return self._made(row, index, "frame", self._frame)

    def labels(self, row: JobRow, index: int) -> bytes:
        """Its labels in their colours as a PNG of the same size, clear where there is none.

        Raises BadMedia for a frame that is not finished.
        """
        return self._made(row, index, "labels", self._labels)

    def _made(self, row: JobRow, index: int, what: str, make: Callable[[JobRow, int], bytes]) -> bytes:
        if not 0 <= index < row.total:
            raise BadInput(f"frame {index} of a clip with frames 0 to {row.total - 1}")
        key = row.id, index, what
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._makers:
            picture = make(row, index)
        with self._lock:
            self._kept[key] = picture
            while sum(map(len, self._kept.values())) > self._kept_bytes and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return picture

    def _frame(self, row: JobRow, index: int) -> bytes:
        path = self._files.path(str(row.payload["frame_refs"][index]))
        rgb = open_image(path, max_pixels=self._max_pixels)
        size_hw = (rgb.shape[0], rgb.shape[1])
        picture = Pillow.fromarray(rgb).resize(_shown_wh(size_hw), Pillow.Resampling.BOX)
        return _encoded(picture, "JPEG", quality=_QUALITY)

    def _labels(self, row: JobRow, index: int) -> bytes:
        frame = self._ledger.frame(row.id, index)
        if frame is None:
            raise BadMedia(f"frame {index} has no labels yet")
        colours = label_colours(row.payload)
        numbers = np.zeros(row.size_hw, np.uint8)
        for number, name in enumerate(list(colours)[:_MOST_LABELS], start=1):
            if name in frame.masks:
                numbers[frame.masks[name]] = number
        picture = Pillow.fromarray(numbers, "P").resize(_shown_wh(row.size_hw), Pillow.Resampling.NEAREST)
        picture.putpalette(_palette([(0, 0, 0), *colours.values()]))
        return _encoded(picture, "PNG", transparency=0)


def label_colours(payload: Mapping[str, object]) -> dict[str, tuple[int, int, int]]:
    """Label -> RGB as the editor shows it; one that has no colour there, or none to read, gets its own."""
    labels, told = payload.get("labels"), payload.get("colours")
    names = [str(name) for name in labels] if isinstance(labels, Mapping) else []
    written = told if isinstance(told, Mapping) else {}
    return {name: _rgb(str(written.get(name) or ""), number) for number, name in enumerate(names)}


def _rgb(written: str, number: int) -> tuple[int, int, int]:
    try:
        red, green, blue = ImageColor.getrgb(written)[:3]
    except ValueError:
        # hues that stay apart, however many there are
        shade = colorsys.hls_to_rgb((0.58 + number * _GOLDEN) % 1, 0.5, 0.6)
        red, green, blue = (round(255 * part) for part in shade)
    return red, green, blue


def _palette(colours: Sequence[tuple[int, int, int]]) -> bytes:
    return bytes(part for colour in colours[: _MOST_LABELS + 1] for part in colour)


def _shown_wh(size_hw: tuple[int, int]) -> tuple[int, int]:
    share = min(1.0, SHOWN_PX / max(size_hw))
    return max(1, round(size_hw[1] * share)), max(1, round(size_hw[0] * share))


def _encoded(picture: Pillow.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()
