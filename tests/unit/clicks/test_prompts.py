"""Prompts as maps: each thing said is where it was said, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from backends.clicks.prompts import RADIUS_PX, REACH_PX, STRIDE, Box, Click, draw_maps, list_clicks

SIZE = (64, 96)


def test_without_prompts_all_maps_are_empty() -> None:
    maps = draw_maps(SIZE, [], [], None)
    assert maps.shape == (6, 16, 24) and maps.dtype == np.float32 and not maps.any()


@pytest.mark.parametrize(("positive", "row"), [(True, 0), (False, 1)])
def test_a_click_is_a_disc_and_a_nearness_on_its_own_side(positive: bool, row: int) -> None:
    maps = draw_maps(SIZE, [Click(50, 30, positive)], [], None)
    assert maps[row, 7, 12] == 1 and maps[row].sum() * STRIDE**2 == pytest.approx(
        np.pi * RADIUS_PX**2, rel=0.25
    )
    near = maps[2 + row]
    assert near.argmax() == np.ravel_multi_index((7, 12), near.shape)
    assert near[7, 20] == pytest.approx(1 - 32 / REACH_PX)
    assert not maps[[1 - row, 3 - row, 4, 5]].any()


def test_of_two_clicks_the_nearer_one_is_told() -> None:
    both = draw_maps(SIZE, [Click(10, 10, True), Click(90, 60, True)], [], None)
    alone = [draw_maps(SIZE, [click], [], None) for click in (Click(10, 10, True), Click(90, 60, True))]
    assert np.array_equal(both[2], np.maximum(alone[0][2], alone[1][2]))


def test_a_box_fills_the_cells_it_covers_by_their_share() -> None:
    maps = draw_maps(SIZE, [], [Box(8, 12, 22, 20)], None)
    assert maps[4].sum() * STRIDE**2 == pytest.approx(14 * 8)
    assert maps[4, 3, 2] == 1 and maps[4, 3, 5] == 0.5 and maps[4, 2, 2] == 0


def test_the_mask_so_far_is_averaged_per_cell() -> None:
    before = np.zeros(SIZE, np.bool_)
    before[:2, :4] = True
    maps = draw_maps(SIZE, [], [], before)
    assert maps[5, 0, 0] == 0.5 and maps[5].sum() == 0.5


def test_clicks_are_listed_as_grid_sample_counts() -> None:
    places, signs = list_clicks(SIZE, [Click(0, 0, True), Click(96, 32, False)], at_least=3)
    assert places.tolist() == [[-1, -1], [1, 0], [0, 0]] and signs.tolist() == [1, -1, 0]
    assert list_clicks(SIZE, [])[1].tolist() == [0], "a graph wants at least one entry"
