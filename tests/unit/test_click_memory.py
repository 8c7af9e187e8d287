"""Which clicks still count, when drafts lag, and when a person's hand has the last word."""

from __future__ import annotations

import numpy as np
import pytest

from backends import click_memory
from backends.click_memory import ClickMemory, Spot
from backends.core.types import Mask, PointPrompt

SPOT = Spot(1, "object 1", 0)


def mask(*columns: int) -> Mask:
    made = np.zeros((4, 10), np.bool_)
    made[:, list(columns)] = True
    return made


def click(x: float) -> PointPrompt:
    return PointPrompt("object 1", 0, x, 1)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> ClickMemory:
    return ClickMemory(clock)


def test_the_first_click_starts_from_what_is_saved(memory: ClickMemory) -> None:
    before, points = memory.recall(SPOT, mask(1), [click(3)])
    assert before is not None and np.array_equal(before, mask(1))
    assert points == (click(3),)


def test_clicks_add_up_while_the_draft_is_on_its_way(memory: ClickMemory) -> None:
    memory.remember(SPOT, mask(1), [click(1)], None)
    before, points = memory.recall(SPOT, None, [click(3)])
    assert before is not None and np.array_equal(before, mask(1))
    assert points == (click(1), click(3))


def test_a_draft_older_than_the_last_answer_is_seen_through(memory: ClickMemory) -> None:
    memory.remember(SPOT, mask(1), [click(1)], None)
    memory.remember(SPOT, mask(1, 2), [click(1), click(2)], None)
    before, _ = memory.recall(SPOT, mask(1), [click(3)])
    assert before is not None and np.array_equal(before, mask(1, 2))


def test_a_mask_changed_by_hand_wins_and_earlier_clicks_are_forgotten(memory: ClickMemory) -> None:
    memory.remember(SPOT, mask(1), [click(1)], None)
    before, points = memory.recall(SPOT, mask(1, 7), [click(3)])
    assert before is not None and np.array_equal(before, mask(1, 7))
    assert points == (click(3),)


def test_a_saved_mask_of_ours_counts_however_old(memory: ClickMemory, clock: Clock) -> None:
    memory.remember(SPOT, mask(1), [click(1)], None)
    clock.now += 3600
    assert memory.recall(SPOT, mask(1), [click(3)])[1] == (click(1), click(3))


def test_a_deleted_mask_stays_deleted(memory: ClickMemory, clock: Clock) -> None:
    memory.remember(SPOT, mask(1), [click(1)], None)
    clock.now += click_memory.LAG_S + 1
    assert memory.recall(SPOT, None, [click(3)]) == (None, (click(3),))


def test_an_undone_mask_counts_again_once_the_lag_is_over(memory: ClickMemory, clock: Clock) -> None:
    memory.remember(SPOT, mask(1), [click(1)], None)
    memory.remember(SPOT, mask(1, 2), [click(1), click(2)], mask(1))
    clock.now += click_memory.LAG_S + 1
    before, points = memory.recall(SPOT, mask(1), [click(3)])
    assert before is not None and np.array_equal(before, mask(1))
    assert points == (click(3),)


def test_a_frame_of_another_size_starts_afresh(memory: ClickMemory) -> None:
    memory.remember(SPOT, mask(1), [click(1)], None)
    other = np.ones((6, 6), np.bool_)
    before, points = memory.recall(SPOT, other, [click(3)])
    assert before is other and points == (click(3),)


def test_memory_is_bounded(memory: ClickMemory) -> None:
    for number in range(click_memory.KEPT + 1):
        memory.remember(Spot(number, "object 1", 0), mask(1), [click(1)], None)
    assert memory.recall(Spot(0, "object 1", 0), None, [click(3)])[0] is None
    assert memory.recall(Spot(1, "object 1", 0), None, [click(3)])[0] is not None
    many = [click(x / 7) for x in range(3 * click_memory.MAX_POINTS)]
    assert memory.recall(Spot(2, "object 1", 0), None, many)[1] == tuple(many[-click_memory.MAX_POINTS :])
