"""Strokes to masks as the editor draws them, and finding the draft that is fresh enough."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.core.errors import BadMask, LabelStudioDown
from backends.core.masks import iou
from backends.core.types import Mask
from backends.labelstudio import rle
from backends.labelstudio.drafts import (
    MAX_POINTS,
    Draft,
    drafts_of,
    freshest,
    latest_annotation,
    rasterise,
    wait_for_draft,
)
from tests.unit.labelstudio.shapes import BLOCK, SIZE_HW, stroke

BIG_HW = (120, 200)


def inked(points: list[float], width: float, size_hw: tuple[int, int] = BIG_HW) -> Mask:
    """The same stroke by its definition: pixel centres within half the width of the line."""
    rows, columns = np.indices(size_hw) + 0.5
    xy = np.array(points).reshape(-1, 2) * (size_hw[1] / 100, size_hw[0] / 100)
    mask = np.zeros(size_hw, np.bool_)
    for (x0, y0), (x1, y1) in zip(xy, xy[1:] if len(xy) > 1 else xy, strict=False):
        dx, dy = x1 - x0, y1 - y0
        along = np.clip(((columns - x0) * dx + (rows - y0) * dy) / ((dx * dx + dy * dy) or 1), 0, 1)
        distance = np.hypot(columns - x0 - along * dx, rows - y0 - along * dy)
        mask |= distance <= width / 100 * size_hw[1] / 2
    return mask


@pytest.mark.parametrize(
    ("points", "width"),
    [
        ([50, 50], 10),  # a dot
        ([20, 50, 20, 50], 10),  # the editor doubles a dot
        ([10, 10, 90, 80], 6),
        ([10, 10, 90, 10, 90, 90, 10, 90], 3),
        ([-5, 50, 105, 50], 20),  # over both edges
        ([50, 50, 55, 52, 61, 49, 70, 70], 12.5),
    ],
)
def test_a_stroke_is_round_and_in_its_place(points: list[float], width: float) -> None:
    mask = rasterise({"format": "rle", "touches": [stroke(*points, width=width)]}, BIG_HW)
    assert iou(mask, inked(points, width)) > 0.96


def test_strokes_act_on_the_accepted_mask_in_the_order_drawn() -> None:
    base = {"format": "rle", "rle": rle.encode(BLOCK)}
    erase = stroke(0, 33, 100, 33, width=10, kind="eraser")
    add = stroke(90, 80, 90, 80, width=12)
    untouched = rasterise(base, SIZE_HW)
    assert np.array_equal(untouched, BLOCK)
    erased = rasterise({**base, "touches": [erase]}, SIZE_HW)
    assert erased.sum() < BLOCK.sum() and not (erased & ~BLOCK).any()
    grown = rasterise({**base, "touches": [erase, add]}, SIZE_HW)
    assert grown[19, 28] and not erased[19, 28]
    again = rasterise({**base, "touches": [erase, stroke(0, 33, 100, 33, width=10)]}, SIZE_HW)
    assert again[8, 0] and again[8, 31], "what is painted after erasing stays"


def test_strokes_alone_need_no_rle() -> None:
    for value in ({"touches": [stroke(50, 50)]}, {"rle": None, "touches": [stroke(50, 50)]}):
        assert rasterise(value, SIZE_HW)[12, 16]


def test_a_stroke_beside_the_picture_inks_nothing() -> None:
    assert not rasterise({"touches": [stroke(300, 300, 320, 320)]}, SIZE_HW).any()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({}, "neither an RLE nor strokes"),
        ({"format": "rle", "rle": []}, "neither an RLE nor strokes"),
        ({"format": "png", "rle": [1]}, "'png'"),
        ({"maskDataURL": "data:image/png;base64,xx"}, "image of its own"),
        ({"touches": "x"}, "a list"),
        ({"touches": [5]}, "stroke 0"),
        ({"touches": [stroke(1, 2, 3)]}, "got 3 numbers"),
        ({"touches": [stroke()]}, "got 0 numbers"),
        ({"touches": [stroke(1, float("nan"))]}, "outside every picture"),
        ({"touches": [stroke(1, 1e9)]}, "outside every picture"),
        ({"touches": [stroke(1, 2, width=0)]}, "0 to 100"),
        ({"touches": [stroke(1, 2, width=float("nan"))]}, "0 to 100"),
        ({"touches": [{"relativePoints": ["a", "b"], "relativeStrokeWidth": 1}]}, "want numbers"),
        ({"touches": [{"relativePoints": [1, 2]}]}, "want numbers"),
        ({"touches": [stroke(1, 2), stroke(1, 2, kind="smudge")]}, "stroke 1 has type 'smudge'"),
        ({"touches": [stroke(*[1.0] * (2 * MAX_POINTS + 2))]}, "more than"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(value: dict[str, Any], says: str) -> None:
    with pytest.raises(BadMask, match=says):
        rasterise(value, SIZE_HW)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {
            "touches": st.lists(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "type": st.sampled_from(["add", "eraser"]) | anything,
                        "relativePoints": st.lists(st.floats(-2000, 2000), max_size=8) | anything,
                        "relativeStrokeWidth": st.floats(-5, 120) | anything,
                    },
                )
                | anything,
                max_size=3,
            )
            | anything
        },
        optional={"rle": st.just(rle.encode(BLOCK)) | anything, "format": st.just("rle") | anything},
    )
)
@settings(deadline=None, max_examples=400)
def test_any_value_is_a_mask_or_a_refusal(value: dict[str, Any]) -> None:
    try:
        mask = rasterise(value, SIZE_HW)
    except BadMask:
        return
    assert mask.shape == SIZE_HW and mask.dtype == np.bool_


def draft(number: int, user: str, at: str, *ids: str) -> Draft:
    return Draft(number, user, at, tuple({"id": i} for i in ids))


ANN_OLD = draft(1, "ann@x", "2026-01-01T10:00:00Z", "a")
ANN_NEW = draft(2, "ann@x", "2026-01-01T11:00:00Z", "a", "b")
BOB = draft(3, "bob@x", "2026-01-01T12:00:00Z", "c")


@pytest.mark.parametrize(
    ("trigger", "user", "expected"),
    [
        ("", "", BOB),
        ("", "ann@x", ANN_NEW),
        ("a", "", ANN_NEW),
        ("c", "", BOB),
        ("c", "ann@x", BOB),  # the trigger's holder is the asker, whatever the name
        ("z", "ann@x", ANN_NEW),
        ("", "eve@x", None),
    ],
)
def test_the_freshest_draft(trigger: str, user: str, expected: Draft | None) -> None:
    assert freshest([BOB, ANN_NEW, ANN_OLD], trigger, user) == expected


def test_drafts_are_read_and_odd_ones_passed_over() -> None:
    payload = [
        {"id": 5, "user": "ann@x", "updated_at": "t", "result": [{"id": "a"}, 7], "annotation": None},
        {"id": 6, "result": None},
        "draft",
    ]
    assert drafts_of(payload) == [Draft(5, "ann@x", "t", ({"id": "a"},))]
    assert drafts_of(None) == drafts_of({}) == []


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_waiting_ends_with_the_draft_that_holds_the_trigger() -> None:
    clock = Clock()

    def fetch() -> list[Draft]:
        if clock.now < 2:
            raise LabelStudioDown("for a moment")
        return [ANN_OLD, BOB] if clock.now < 5 else [ANN_OLD, ANN_NEW, BOB]

    found = wait_for_draft(fetch, "b", 6.5, clock=clock, sleep=clock.sleep)
    assert found == ANN_NEW and clock.now == pytest.approx(5, abs=0.3)


def test_waiting_ends_without_a_draft_in_time() -> None:
    clock = Clock()
    assert wait_for_draft(lambda: [BOB], "b", 6.5, clock=clock, sleep=clock.sleep) is None
    assert 6 <= clock.now <= 6.5


def test_the_annotation_saved_last_counts() -> None:
    old = {"id": 1, "updated_at": "2026-01-01T10:00:00Z", "result": [{"id": "old"}]}
    new = {"id": 2, "updated_at": "2026-01-01T11:00:00Z", "result": [{"id": "new"}, "junk"]}
    dropped = {"id": 3, "updated_at": "2026-01-01T12:00:00Z", "result": [{"id": "x"}], "was_cancelled": True}
    assert latest_annotation([new, old, dropped, None]) == ({"id": "new"},)
    assert latest_annotation([]) == latest_annotation(None) == ()
