"""Our RLE and the SDK's read each other; and the SDK is still wrong where we go our own way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from label_studio_sdk.converter.brush import decode_rle, mask2rle

from backends.core.errors import BadMask
from backends.core.types import Mask
from backends.labelstudio.rle import decode, encode


def check_both_ways(mask: Mask) -> None:
    height, width = mask.shape
    theirs = decode_rle(encode(mask)).reshape(height, width, 4)
    assert np.array_equal(theirs, np.repeat(mask[:, :, None] * np.uint8(255), 4, axis=2))
    assert np.array_equal(decode(mask2rle(mask.astype(np.uint8) * 255), (height, width)), mask)


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=25)))
@settings(deadline=None, max_examples=100)
def test_random_masks_both_ways(mask: Mask) -> None:
    check_both_ways(mask)


@pytest.mark.parametrize("kind", ["empty", "full", "ellipse", "ragged", "one pixel", "last pixel"])
@pytest.mark.parametrize("size_hw", [(480, 854), (37, 53)])
def test_shapes_both_ways(kind: str, size_hw: tuple[int, int]) -> None:
    rows, columns = np.indices(size_hw) / np.array(size_hw).reshape(2, 1, 1)
    mask = {
        "empty": rows < 0,
        "full": rows >= 0,
        "ellipse": (rows - 0.5) ** 2 + (columns - 0.4) ** 2 < 0.05,
        "ragged": np.random.default_rng(0).random(size_hw) < 0.02,
        "one pixel": (rows == 0) & (columns == 0),
        "last pixel": (rows == rows.max()) & (columns == columns.max()),
    }[kind]
    check_both_ways(mask)


def test_ours_is_no_longer_than_theirs_on_a_plain_object() -> None:
    rows, columns = np.indices((480, 854))
    mask = (rows - 200) ** 2 + (columns - 400) ** 2 < 150**2
    assert len(encode(mask)) <= len(mask2rle(mask.astype(np.uint8) * 255))


@pytest.mark.parametrize("cut", [8, 20, 40])
def test_the_sdk_does_not_refuse_a_cut_stream_in_words(cut: int) -> None:
    """The reason for a decoder of our own; when this fails, look whether the SDK's will do by now."""
    stream = encode(np.random.default_rng(1).random((40, 50)) < 0.3)[:cut]
    with pytest.raises((ValueError, IndexError, TypeError, OverflowError)):
        decode_rle(stream)
    with pytest.raises(BadMask, match="cut off"):
        decode(stream, (40, 50))
