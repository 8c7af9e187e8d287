"""Which frame is corrected next."""

from __future__ import annotations

import itertools

import pytest

from backends.core.errors import BadInput
from pipelines.studies.strategies import by_lot, evenly, lowest


def test_the_lowest_frame_that_is_not_taken() -> None:
    values = {1: 0.9, 2: 0.2, 3: 0.2, 4: 0.5}
    assert [lowest(values, taken) for taken in ([], [2], [2, 3], [4, 3, 2])] == [2, 3, 4, 1]
    with pytest.raises(BadInput, match="all 4 frames"):
        lowest(values, [1, 2, 3, 4])


def test_random_orders_go_on_and_differ_by_seed() -> None:
    order = by_lot(30, 28, (0, 7))
    assert sorted(order) == list(range(1, 29)), "each scored frame once; neither the first nor the last"
    assert by_lot(30, 5, (0, 7)) == order[:5]
    assert len({by_lot(30, 5, (seed, 7)) for seed in range(5)}) == 5


def furthest(n_frames: int, given: tuple[int, ...]) -> int:
    return max(min(abs(frame - g) for g in given) for frame in range(n_frames))


@pytest.mark.parametrize(("n_frames", "count"), [(7, 1), (11, 2), (12, 3), (15, 1), (16, 3)])
def test_evenly_spaced_is_nearly_the_best_plan_there_is(n_frames: int, count: int) -> None:
    best = min(
        furthest(n_frames, (0, *plan)) for plan in itertools.combinations(range(1, n_frames - 1), count)
    )
    assert furthest(n_frames, (0, *evenly(n_frames, count))) <= best + 1  # whole frames round


@pytest.mark.parametrize("n_frames", [3, 4, 5, 8, 41, 82])
def test_evenly_spaced_frames_are_scored_frames_in_order(n_frames: int) -> None:
    for count in range(1, n_frames - 1):
        frames = evenly(n_frames, count)
        assert len(set(frames)) == count and list(frames) == sorted(frames)
        assert frames[0] >= 1 and frames[-1] <= n_frames - 2


@pytest.mark.parametrize("plan", [evenly, lambda n, k: by_lot(n, k, (0,))])
def test_more_corrections_than_frames_are_refused(plan) -> None:
    with pytest.raises(BadInput, match="wants 1 to 3"):
        plan(5, 4)
