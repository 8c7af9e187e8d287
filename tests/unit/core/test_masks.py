"""Packing is exact and refuses what does not fit; digests tell masks apart."""

import numpy as np
import pytest

from backends.core import masks
from backends.core.errors import BadMask


@pytest.fixture
def mask():
    return np.random.default_rng(0).random((37, 53)) > 0.7


def test_packing_is_exact(mask):
    assert np.array_equal(masks.unpack(masks.pack(mask), mask.shape), mask)
    soft = np.random.default_rng(1).integers(0, 256, (30, 54), dtype=np.uint8)
    assert np.array_equal(masks.unpack_soft(masks.pack_soft(soft)), soft)


@pytest.mark.parametrize("size", [(37, 54), (3, 5), (400, 400)])
def test_another_size_is_refused(mask, size):
    with pytest.raises(BadMask, match="needs"):
        masks.unpack(masks.pack(mask), size)


@pytest.mark.parametrize(
    "broken", [b"", b"\x01", b"\x08\x00\x08\x00not zlib", masks.pack_soft(np.ones((2, 3), np.uint8))[:-6]]
)
def test_a_broken_state_is_refused(broken):
    with pytest.raises(BadMask, match="stored soft mask"):
        masks.unpack_soft(broken)


def test_digests_know_pixels_and_size(mask):
    other = mask.copy()
    other[0, 0] ^= True
    assert masks.digest(mask) == masks.digest(mask.copy()) != masks.digest(other)
    assert masks.digest(np.zeros((2, 8), bool)) != masks.digest(np.zeros((8, 2), bool))


def test_overlap(mask):
    assert masks.iou(mask, mask) == 1 and masks.iou(mask, ~mask) == 0
    assert masks.iou(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 1
    with pytest.raises(BadMask, match="different size"):
        masks.iou(mask, mask.T)
