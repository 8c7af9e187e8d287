"""Label Studio's brush RLE: run lengths of an RGBA image, packed bit by bit (the scheme of thi.ng/rle-pack).

A stream is 32 bits of length (``height * width * 4``), 5 bits of word size minus one, four times 4 bits of
run-length width minus one, then tokens: 1 bit "run" or "literal", 2 bits choosing a run-length width, the
length minus one, and one word (run) or ``length`` words (literal).

Own code, not the SDK's: ``label_studio_sdk.converter.brush.decode_rle`` builds an array as large as the
stream claims (up to 4 GiB), raises four kinds of exception on junk and takes 0.4 s for a ragged mask.
``tests/contract/test_rle_against_sdk.py`` holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadMask
from backends.core.types import Mask

_HEADER_BITS = 32 + 5 + 4 * 4
_WORD_BITS = 8
_RUN_WIDTHS = (4, 8, 12, 16)  # bits; a run of up to 65,536 bytes fits into the widest
_LONGEST_RUN = 1 << _RUN_WIDTHS[-1]


def encode(mask: Mask) -> list[int]:
    """(H, W) bool -> the bytes of ``value.rle``; set pixels become opaque white, others transparent black."""
    if mask.ndim != 2 or mask.size == 0:
        raise BadMask(f"a mask is a 2-D array with at least one pixel, got shape {mask.shape}")
    lengths, values = _runs(mask)
    choice = np.searchsorted(1 << np.array(_RUN_WIDTHS), lengths)  # narrowest width that holds length - 1
    width = np.array(_RUN_WIDTHS)[choice]
    code = (((4 | choice) << width) | (lengths - 1)) << _WORD_BITS | values
    header = [(mask.size * 4, 32), (_WORD_BITS - 1, 5), *((w - 1, 4) for w in _RUN_WIDTHS)]
    codes = np.concatenate([np.array([c for c, _ in header]), code])
    widths = np.concatenate([np.array([w for _, w in header]), 3 + width + _WORD_BITS])
    packed: list[int] = np.packbits(_bits(codes, widths)).tolist()
    return packed


def decode(rle: Sequence[int] | bytes, size_hw: tuple[int, int]) -> Mask:
    """The bytes of ``value.rle`` -> (H, W) bool. Raises BadMask on anything but a whole stream of this size.

    A pixel belongs to the mask if its alpha is more than half of the strongest alpha in the stream: the
    editor saves strokes with soft edges (0..255), we write 0 or 255, the SDK's encoder also 0 or 1.
    The loop takes one step per token, so time and memory are linear in stream and image.
    """
    height, width = size_hw
    data = _as_bytes(rle)
    wanted = height * width * 4
    if len(data) * 8 < _HEADER_BITS:
        raise BadMask(f"RLE holds {len(data)} bytes; its header alone needs {(_HEADER_BITS + 7) // 8}")
    length = int.from_bytes(data[:4], "big")
    if length != wanted:
        raise BadMask(
            f"RLE describes {length} values; a frame of {width}x{height} needs {wanted}: "
            "the mask was made for an image of another size"
        )
    alpha = _expand(data, length).reshape(height, width, 4)[:, :, 3]
    mask: Mask = alpha > int(alpha.max()) // 2
    return mask


def _runs(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Run lengths in bytes of the RGBA stream, none above the longest run, and their values (0 or 255)."""
    flat = mask.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], edges])
    lengths = np.diff(np.concatenate([starts, [flat.size]])) * 4
    values = np.where(flat[starts], 255, 0)
    pieces = -(-lengths // _LONGEST_RUN)
    split = np.full(int(pieces.sum()), _LONGEST_RUN, np.int64)
    last = np.cumsum(pieces) - 1
    split[last] = lengths - (pieces - 1) * _LONGEST_RUN
    return split, np.repeat(values, pieces).astype(np.int64)


def _bits(codes: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Each code written in so many bits, most significant first, one after another."""
    owner = np.repeat(np.arange(codes.size), widths)
    position = np.arange(owner.size) - np.repeat(np.cumsum(widths) - widths, widths)
    return ((codes[owner] >> (widths[owner] - 1 - position)) & 1).astype(np.uint8)


def _as_bytes(rle: Sequence[int] | bytes) -> bytes:
    if not isinstance(rle, bytes | bytearray | list | tuple):
        raise BadMask(f"RLE wants a list of numbers 0..255, got {type(rle).__name__}")
    try:
        return bytes(rle)
    except (TypeError, ValueError) as error:
        raise BadMask(f"RLE wants a list of numbers 0..255: {error}") from error


def _expand(data: bytes, length: int) -> NDArray[np.uint8]:
    """Follow the tokens behind the header; (length,) uint8."""
    head = int.from_bytes(data[4:7], "big")  # 5 + 16 bits, 3 bits over
    if head >> 19 != _WORD_BITS - 1:
        raise BadMask(f"RLE has words of {(head >> 19) + 1} bits; Label Studio writes {_WORD_BITS}")
    widths = [((head >> shift) & 15) + 1 for shift in (15, 11, 7, 3)]
    total_bits = len(data) * 8
    padded = data + bytes(8)  # so that a window may be read at any bit
    out = np.zeros(length, np.uint8)
    at, done = _HEADER_BITS, 0
    while done < length:
        window = int.from_bytes(padded[at >> 3 : (at >> 3) + 6], "big") << (at & 7)  # the next bit is bit 47
        width = widths[(window >> 45) & 3]
        count = ((window >> (45 - width)) & ((1 << width) - 1)) + 1
        is_run = (window >> 47) & 1
        at += 3 + width
        end = at + (_WORD_BITS if is_run else _WORD_BITS * count)
        if end > total_bits:
            raise BadMask(f"RLE ends after {done} of {length} values: it was cut off")
        if count > length - done:
            raise BadMask(f"RLE runs past its {length} values")
        if not is_run:
            out[done : done + count] = _words(padded, at, count)
        elif value := (window >> (37 - width)) & 255:
            out[done : done + count] = value
        at, done = end, done + count
    return out


def _words(padded: bytes, at: int, count: int) -> NDArray[np.uint8]:
    """``count`` words of 8 bits from bit ``at`` on; (count,) uint8."""
    raw = np.frombuffer(padded, np.uint8, count + 1, at >> 3).astype(np.uint16)
    return ((((raw[:-1] << 8) | raw[1:]) >> (8 - (at & 7))) & 255).astype(np.uint8)
