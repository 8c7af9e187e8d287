"""What was said holds, whatever the network found."""

from __future__ import annotations

import numpy as np
import pytest

from backends.clicks.promises import honour
from backends.clicks.requests import checked
from backends.core.errors import BadMask, BadMedia
from backends.core.types import BoxPrompt, PointPrompt

FRAME = np.zeros((48, 64, 3), np.uint8)
EMPTY, FULL = np.zeros((48, 64), np.bool_), np.ones((48, 64), np.bool_)


def point(x: float, y: float, positive: bool = True) -> PointPrompt:
    return PointPrompt("object 1", 0, x, y, positive)


def test_contradicted_clicks_win_and_others_leave_the_mask_alone() -> None:
    request = checked(FRAME, [point(10, 10), point(30, 30, False)], [], None)
    assert honour(EMPTY, request, 3)[10, 10] and not honour(FULL, request, 3)[30, 30]
    fitting = EMPTY.copy()
    fitting[5:20, 5:20] = True
    assert np.array_equal(honour(fitting, request, 3), fitting)


def test_neighbouring_clicks_of_both_kinds_both_hold() -> None:
    request = checked(FRAME, [point(10, 10), point(11, 10, False), point(10, 11, False)], [], None)
    for found in (EMPTY, FULL):
        mask = honour(found, request, 3)
        assert mask[10, 10] and not mask[10, 11] and not mask[11, 10]


def test_of_two_clicks_on_one_pixel_the_later_holds() -> None:
    first, second = point(10, 10), point(10.4, 10.2, False)
    assert not honour(FULL, checked(FRAME, [first, second], [], None), 3)[10, 10]
    assert honour(EMPTY, checked(FRAME, [second, first], [], None), 3)[10, 10]


def square(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = EMPTY.copy()
    mask[y0:y1, x0:x1] = True
    return mask


def test_an_earlier_mask_changes_only_where_a_click_lies() -> None:
    before = square(5, 5, 20, 20)
    found = square(5, 5, 28, 15) | square(40, 30, 50, 40)  # grown to the right, cut below, something far off
    grown = honour(found, checked(FRAME, [point(25, 10)], [], before), 3)
    assert np.array_equal(grown, before | square(5, 5, 28, 15))
    cut = honour(found, checked(FRAME, [point(10, 18, False)], [], before), 3)
    assert np.array_equal(cut, square(5, 5, 20, 15))
    redrawn = honour(found, checked(FRAME, [], [BoxPrompt("object 1", 0, 5, 5, 50, 40)], before), 3)
    assert np.array_equal(redrawn, found), "a box asks for all of it anew"


def test_what_stands_apart_from_the_clicks_goes_what_was_there_stays() -> None:
    found = square(5, 5, 20, 20) | square(40, 30, 50, 40)
    assert np.array_equal(honour(found, checked(FRAME, [point(10, 10)], [], None), 3), square(5, 5, 20, 20))
    both = honour(found, checked(FRAME, [point(10, 10), point(45, 35)], [], None), 3)
    assert np.array_equal(both, found)
    painted = checked(FRAME, [point(10, 10)], [], found)
    assert np.array_equal(honour(found, painted, 3), found)
    box = checked(FRAME, [], [BoxPrompt("object 1", 0, 0, 0, 60, 40)], None)
    specks = honour(found | square(60, 2, 62, 4), box, 3)
    assert np.array_equal(specks, found), "a box keeps large parts and drops specks"


@pytest.mark.parametrize("xy", [(-5, -5), (64, 48), (1e9, 10), (63.99, 0)])
def test_clicks_outside_count_at_the_edge(xy: tuple[float, float]) -> None:
    request = checked(FRAME, [point(*xy)], [], None)
    assert honour(EMPTY, request, 3).any()


@pytest.mark.parametrize(
    "corners", [(10, 10, 30, 30), (10.2, 10.2, 10.4, 10.3), (60, 40, 900, 900), (-9, -9, 3, 3)]
)
def test_a_box_never_comes_back_empty(corners: tuple[float, float, float, float]) -> None:
    mask = honour(EMPTY, checked(FRAME, [], [BoxPrompt("object 1", 0, *corners)], None), 3)
    assert mask.any() and mask.sum() <= max(1, 20 * 20)


def test_there_is_nothing_to_go_by_without_prompts_or_with_negatives_alone() -> None:
    assert checked(FRAME, [], [], FULL).is_idle
    assert checked(FRAME, [point(1, 1, False)], [], None).is_idle
    assert checked(FRAME, [point(1, 1, False)], [], EMPTY).is_idle
    assert checked(FRAME, [], [BoxPrompt("object 1", 0, 9, 9, 9, 20)], None).is_idle, "a box without area"
    assert not checked(FRAME, [point(1, 1, False)], [], FULL).is_idle


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(BadMedia, match="uint8"):
        checked(FRAME[:, :, 0], [point(1, 1)], [], None)
    with pytest.raises(BadMedia, match="uint8"):
        checked(np.zeros((0, 5, 3), np.uint8), [point(1, 1)], [], None)
    with pytest.raises(BadMask, match="sizes must agree"):
        checked(FRAME, [point(1, 1)], [], FULL[:-1])


def test_a_box_without_clicks_in_it_is_taken_by_its_middle() -> None:
    boxes = [BoxPrompt("object 1", 0, 10, 20, 30, 30), BoxPrompt("object 1", 0, 40, 20, 50, 30)]
    request = checked(FRAME, [point(45, 25, False)], boxes, None)
    hinted = request.with_hint()
    assert hinted.points == (point(45, 25, False), point(20, 25))
    assert request.points == (point(45, 25, False),)
    assert checked(FRAME, [point(1, 1)], [], None).with_hint().points == (point(1, 1),)
