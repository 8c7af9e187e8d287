"""The DAVIS colours: which RGB colour stands for which object index in a palette PNG."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray


@cache
def davis_palette() -> NDArray[np.uint8]:
    """(256, 3) uint8, read-only; row ``i`` is the colour of index ``i`` (0 black, 1 dark red, 2 green ...).

    The index's bits are dealt out to R, G, B from the highest bit down (Pascal VOC's scheme).
    """
    index = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for place in range(8):
        for channel in range(3):
            bit = (index >> (3 * place + channel)) & 1
            palette[:, channel] |= (bit << (7 - place)).astype(np.uint8)
    palette.setflags(write=False)
    return palette


@cache
def _index_of_colour() -> dict[int, int]:
    return {int(code): index for index, code in enumerate(colour_codes(davis_palette()))}


def colour_codes(rgb: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """(..., 3) uint8 -> (...) uint32 holding 0xRRGGBB, so that a colour compares as one number."""
    wide = rgb.astype(np.uint32)
    return np.asarray(wide[..., 0] * 0x10000 + wide[..., 1] * 0x100 + wide[..., 2], np.uint32)


def index_of_code(code: int) -> int | None:
    """The index whose DAVIS colour is ``code`` (0xRRGGBB), or None when no index has it."""
    return _index_of_colour().get(code)
