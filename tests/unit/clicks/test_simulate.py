"""The simulated person clicks the middle of the largest error, and only where something is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from backends.clicks.prompts import Click
from backends.clicks.simulate import depths, loose_click, next_click


def block(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((60, 80), np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def test_the_first_click_is_the_middle_of_the_object() -> None:
    assert next_click(block(0, 0, 0, 0), block(20, 10, 41, 31)) == Click(30.5, 20.5, True)


@pytest.mark.parametrize(
    ("shown", "truth", "expected"),
    [
        (block(0, 0, 30, 30), block(0, 0, 0, 0), (15, 15, False)),
        (block(10, 10, 40, 40), block(10, 10, 70, 40), (55, 25, True)),
        (block(10, 10, 70, 40), block(10, 10, 30, 40), (50, 25, False)),
        (block(40, 40, 43, 60), block(0, 0, 20, 20), (10, 10, True)),
    ],
)
def test_the_larger_error_is_clicked(
    shown: np.ndarray, truth: np.ndarray, expected: tuple[float, float, bool]
) -> None:
    click = next_click(shown, truth)
    assert click is not None and click.positive is expected[2]
    assert abs(click.x - expected[0]) <= 6 and abs(click.y - expected[1]) <= 6


def test_the_largest_error_is_that_with_the_largest_disc() -> None:
    truth = block(0, 5, 80, 9) | block(30, 30, 45, 45)  # a long thin one of more pixels, and a compact one
    assert block(0, 5, 80, 9).sum() > block(30, 30, 45, 45).sum()
    click = next_click(block(0, 0, 0, 0), truth)
    assert click is not None and 30 <= click.x < 45 and 30 <= click.y < 45


def test_what_is_right_is_not_clicked() -> None:
    assert next_click(block(5, 5, 9, 9), block(5, 5, 9, 9)) is None
    assert loose_click(block(5, 5, 9, 9), block(5, 5, 9, 9), np.random.default_rng(0)) is None


def test_no_pixel_is_clicked_twice() -> None:
    truth, clicks = block(10, 10, 12, 12), []
    while (click := next_click(block(0, 0, 0, 0), truth, clicks)) is not None:
        clicks.append(click)
    assert len({(click.x, click.y) for click in clicks}) == 4


def test_the_border_of_the_frame_counts_as_an_edge() -> None:
    missed, _ = depths(block(0, 0, 0, 0), block(0, 0, 80, 60))
    assert missed[0, 40] == pytest.approx(1, abs=0.1) and missed[30, 40] > 25


def test_loose_clicks_stay_in_the_inner_half_of_the_error() -> None:
    truth = block(20, 10, 50, 40)
    missed, _ = depths(block(0, 0, 0, 0), truth)
    rng = np.random.default_rng(3)
    drawn = [loose_click(block(0, 0, 0, 0), truth, rng) for _ in range(40)]
    assert all(click and missed[int(click.y), int(click.x)] > missed.max() / 2 for click in drawn)
    assert len(set(drawn)) > 20
