"""Counting clicks: when a goal is reached, what is averaged, and a person who clicks what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from backends.core.types import BoxPrompt, Image, Mask, PointPrompt
from pipelines.studies.clicks import Tally, click_through, clicks_until, summary, table

FRAME = np.zeros((60, 80, 3), np.uint8)


@pytest.mark.parametrize(
    ("overlaps", "goal", "expected"),
    [([0.9], 0.85, 1), ([0.5, 0.86, 0.84], 0.85, 2), ([0.5, 0.6], 0.85, 20), ([0.1, 0.85], 0.85, 2)],
)
def test_clicks_until_a_goal(overlaps: list[float], goal: float, expected: int) -> None:
    assert clicks_until(overlaps, goal, 20) == expected


def test_the_summary_averages_over_objects() -> None:
    tally = Tally([[0.5, 0.9], [0.88, 0.88], [0.2, 0.3]], [[10, 4], [20, 6], [30, 8]])
    found = summary(tally, ["a", "a", "b"], 5)
    assert found["noc85"] == pytest.approx((2 + 1 + 5) / 3, abs=0.01) and found["never85"] == 1
    assert found["noc90"] == pytest.approx((2 + 5 + 5) / 3, abs=0.01) and found["never90"] == 2
    assert found["first_click_ms"] == 20 and found["further_click_ms"] == 6
    assert found["curve"] == pytest.approx([1.58 / 3, 2.08 / 3], abs=1e-4)
    assert found["noc85_of"] == {"a": 1.5, "b": 5}


def test_an_object_that_is_done_early_keeps_its_last_overlap() -> None:
    found = summary(Tally([[1.0], [0.5, 0.6, 0.7]], [[1], [1, 1, 1]]), ["a", "b"], 3)
    assert found["curve"] == pytest.approx([0.75, 0.8, 0.85])


def discs(
    image: Image, points: Sequence[PointPrompt], boxes: Sequence[BoxPrompt], previous: Mask | None
) -> Mask:
    """A method of the test: every click adds or takes a square of 11 pixels."""
    mask = np.zeros(image.shape[:2], np.bool_) if previous is None else previous.copy()
    x, y = int(points[-1].x_px), int(points[-1].y_px)
    mask[max(0, y - 5) : y + 6, max(0, x - 5) : x + 6] = points[-1].positive
    return mask


def test_the_simulated_person_goes_on_until_nothing_is_wrong() -> None:
    truth = np.zeros((60, 80), np.bool_)
    truth[20:31, 30:41] = True
    overlaps, ms = click_through(discs, FRAME, truth, 20)
    assert overlaps == [1.0] and len(ms) == 1
    wide = truth.copy()
    wide[20:31, 30:74] = True
    overlaps, _ = click_through(discs, FRAME, wide, 3)
    assert len(overlaps) == 3 and overlaps == sorted(overlaps)


def test_the_table_names_both_methods() -> None:
    one = summary(Tally([[0.9]], [[12.0]]), ["a"], 20)
    text = table({"objects": 1, "clicks": 20, "methods": {"learned": one, "grabcut": one}})
    assert "learned" in text and "grabcut" in text and "NoC@85" in text
