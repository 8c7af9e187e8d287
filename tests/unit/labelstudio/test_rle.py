"""Brush RLE: what goes in comes out, and nothing that comes in breaks or floods us."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from backends.core.errors import BadMask
from backends.core.types import Mask
from backends.labelstudio.rle import decode, encode
from tests.unit.labelstudio.shapes import BLOCK, SIZE_HW

sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(hnp.arrays(np.bool_, sizes))
@settings(deadline=None, max_examples=200)
def test_any_mask_comes_back(mask: Mask) -> None:
    assert np.array_equal(decode(encode(mask), mask.shape), mask)  # type: ignore[arg-type]


@pytest.mark.parametrize("size_hw", [(1, 1), (128, 128), (129, 127), (480, 854), (1080, 1920)])
@pytest.mark.parametrize("value", [False, True])
def test_plain_masks_of_all_sizes_come_back(size_hw: tuple[int, int], value: bool) -> None:
    mask = np.full(size_hw, value)
    assert np.array_equal(decode(encode(mask), size_hw), mask)


def test_the_bytes_are_json_numbers() -> None:
    assert {type(number) for number in encode(BLOCK)} == {int}
    assert decode(bytes(encode(BLOCK)), SIZE_HW).sum() == BLOCK.sum()


def literal_stream(alpha: list[int]) -> list[int]:
    """A stream of one literal token: (n,) alphas of an image one row high, words of 8 bits."""
    values = [byte for a in alpha for byte in (0, 0, 0, a)]
    bits = f"{len(values):032b}{7:05b}" + f"{15:04b}" * 4 + "000" + f"{len(values) - 1:016b}"
    bits += "".join(f"{v:08b}" for v in values)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


@pytest.mark.parametrize(
    ("alpha", "mask"),
    [
        ([0, 255, 0], [0, 1, 0]),
        ([0, 127, 128, 255], [0, 0, 1, 1]),  # soft edges of a saved stroke: more than half
        ([0, 1, 1], [0, 1, 1]),  # the SDK given a mask of 0 and 1
        ([0, 0, 0], [0, 0, 0]),
    ],
)
def test_literals_and_soft_edges(alpha: list[int], mask: list[int]) -> None:
    assert decode(literal_stream(alpha), (1, len(alpha))).astype(int).tolist() == [mask]


@pytest.mark.parametrize(
    ("stream", "says"),
    [
        (None, "list of numbers"),
        ("0,1,2", "list of numbers"),
        ({"0": 1}, "list of numbers"),
        ([], "header"),
        ([0, 1, 2], "header"),
        ([256] * 20, "0..255"),
        ([-1] * 20, "0..255"),
        ([1.5] * 20, "0..255"),
        ([None] * 20, "0..255"),
        ([255] * 20, "4294967295 values"),
        (encode(BLOCK)[:-3], "cut off"),
        (encode(np.ones((24, 33), np.bool_)), "image of another size"),
        ([*encode(BLOCK)[:4], 0, *encode(BLOCK)[5:]], "words of 1 bits"),
    ],
)
def test_broken_streams_are_refused_in_words(stream: Any, says: str) -> None:
    with pytest.raises(BadMask, match=says):
        decode(stream, SIZE_HW)


def test_a_run_past_the_end_is_refused() -> None:
    long = encode(np.ones((25, 32), np.bool_))
    long[:4] = (24 * 32 * 4).to_bytes(4, "big")
    with pytest.raises(BadMask, match="runs past"):
        decode(long, SIZE_HW)


@given(st.lists(st.integers(0, 255), max_size=400))
@settings(deadline=None, max_examples=500)
def test_noise_behind_a_right_header_is_a_mask_or_a_refusal(noise: list[int]) -> None:
    head = encode(BLOCK)[:6]
    try:
        mask = decode([*head, *noise], SIZE_HW)
    except BadMask:
        return
    assert mask.shape == SIZE_HW and mask.dtype == np.bool_


@given(st.integers(0, 10_000), st.integers(1, 255))
@settings(deadline=None, max_examples=300)
def test_a_flipped_byte_is_a_mask_or_a_refusal(place: int, flip: int) -> None:
    stream = encode(BLOCK)
    stream[place % len(stream)] ^= flip
    try:
        assert decode(stream, SIZE_HW).shape == SIZE_HW
    except BadMask:
        return


def test_time_grows_with_the_image_not_faster() -> None:
    """The worst mask, a chequered one: four times the pixels may not take sixteen times as long."""

    def seconds(side: int) -> float:
        stream = encode(np.indices((side, side)).sum(0) % 2 == 0)
        best = 1e9
        for _ in range(3):
            start = time.perf_counter()
            decode(stream, (side, side))
            best = min(best, time.perf_counter() - start)
        return best

    small, large = seconds(200), seconds(400)
    assert large < 10 * small + 0.05
