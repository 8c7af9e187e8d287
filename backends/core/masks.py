"""Binary masks: packing for storage, digests for recognition, overlap."""

from __future__ import annotations

import hashlib
import struct
import zlib

import numpy as np

from backends.core.errors import BadMask
from backends.core.types import Mask, Soft


def pack(mask: Mask) -> bytes:
    """(H, W) bool -> compressed bits; about 1 kB for an object at 480p."""
    return zlib.compress(np.packbits(mask).tobytes(), 6)


def unpack(packed: bytes, size_hw: tuple[int, int]) -> Mask:
    """Inverse of :func:`pack`. Raises BadMask when the bytes do not hold exactly H*W bits."""
    height, width = size_hw
    wanted = (height * width + 7) // 8
    try:
        bits = zlib.decompressobj().decompress(packed, wanted + 1)
    except zlib.error as error:
        raise BadMask(f"stored mask cannot be unpacked: {error}") from error
    if len(bits) != wanted:
        raise BadMask(f"stored mask holds {len(bits)} bytes; {height}x{width} needs {wanted}")
    flat = np.unpackbits(np.frombuffer(bits, np.uint8), count=height * width)
    return flat.astype(np.bool_).reshape(height, width)


def pack_soft(soft: Soft) -> bytes:
    """(h, w) uint8 -> its size and compressed bytes; a few kB for an object at 480p."""
    height, width = soft.shape
    return struct.pack("<HH", height, width) + zlib.compress(soft.tobytes(), 1)


def unpack_soft(packed: bytes) -> Soft:
    """Inverse of :func:`pack_soft`. Raises BadMask when the bytes do not hold exactly h*w values."""
    try:
        height, width = struct.unpack_from("<HH", packed)
        values = zlib.decompressobj().decompress(packed[4:], height * width + 1)
    except (struct.error, zlib.error) as error:
        raise BadMask(f"stored soft mask cannot be unpacked: {error}") from error
    if len(values) != height * width:
        raise BadMask(f"stored soft mask holds {len(values)} values; {height}x{width} were wanted")
    return np.frombuffer(values, np.uint8).reshape(height, width).copy()


def digest(mask: Mask) -> str:
    """A name for exactly these pixels at exactly this size (40 hex characters)."""
    head = f"{mask.shape[0]}x{mask.shape[1]}:".encode()
    return hashlib.sha256(head + np.packbits(mask).tobytes()).hexdigest()[:40]


def iou(a: Mask, b: Mask) -> float:
    """Intersection over union; two empty masks agree (1.0), as in DAVIS's J."""
    if a.shape != b.shape:
        raise BadMask(f"masks of different size: {a.shape[0]}x{a.shape[1]} and {b.shape[0]}x{b.shape[1]}")
    union = int(np.logical_or(a, b).sum())
    return 1.0 if union == 0 else float(np.logical_and(a, b).sum() / union)
