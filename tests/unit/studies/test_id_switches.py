"""Whom a mask follows, on label maps drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from backends.core.types import Mask
from pipelines.studies.id_switches import Track, followed, rates, track


def strip(*cells: int) -> NDArray[np.uint8]:
    """A label map of one row: ``strip(1, 1, 0, 2)``."""
    return np.array([cells], np.uint8)


def masks(labels: NDArray[np.uint8]) -> dict[int, Mask]:
    return {number: labels == number for number in (1, 2)}


A = strip(1, 1, 1, 0, 0, 2, 2, 2)
B = strip(2, 2, 2, 0, 0, 1, 1, 1)
HIDDEN = strip(0, 0, 2, 2, 2, 0, 0, 0)  # object 1 is behind object 2
TRUTH = [A, A, B, B]


def follow(found: list[NDArray[np.uint8]], truth: list[NDArray[np.uint8]], own: int = 1) -> Track:
    return track([labels == own for labels in found], [masks(labels) for labels in truth], own)


@pytest.mark.parametrize("own", [1, 2])
def test_a_right_track_has_no_switch(own: int) -> None:
    assert follow(TRUTH, TRUTH, own) == Track(4, 0, 0, 0, 0, False, 1.0)


@pytest.mark.parametrize("own", [1, 2])
def test_a_swap_is_counted_for_both(own: int) -> None:
    found = follow([A, A, A, A], TRUTH, own)  # the masks stay while the objects change sides
    assert (found.frames, found.switched, found.events, found.ended_switched) == (4, 2, 1, True)
    assert found.j == 0.5 and found.spilled == 2


def test_there_and_back_are_two_events() -> None:
    found = follow([A, B, A, A], [A, A, A, A])
    assert (found.switched, found.events, found.ended_switched) == (1, 2, False)


def test_a_lost_mask_is_no_switch_and_is_remembered_through() -> None:
    nothing = strip(0, 0, 0, 1, 1, 0, 0, 0)  # on the ground, on nobody
    found = follow([A, nothing, nothing, A], TRUTH)
    assert (found.lost, found.switched, found.events) == (2, 1, 1)
    empty = strip(*[0] * 8)
    assert follow([A, empty, B, B], TRUTH) == Track(4, 0, 1, 0, 0, False, 0.75)


def test_frames_where_it_is_hidden_do_not_count() -> None:
    found = follow([A, strip(0, 0, 1, 1, 1, 0, 0, 0), B], [A, HIDDEN, B])
    assert (found.frames, found.switched, found.events) == (2, 0, 0)


def test_bleeding_over_the_edge_is_no_switch() -> None:
    """One pixel of the own object is left, the mask has it and two of the neighbour's thirty."""
    truth = strip(1, *[2] * 30)
    assert followed(strip(1, 1, 1, *[0] * 28) == 1, masks(truth), 1) == 1
    assert followed(strip(1, *[1] * 30) == 1, masks(truth), 1) == 2
    assert followed(strip(0, 0, 1, *[0] * 28) == 1, masks(truth), 1) is None


def test_a_mask_over_both_spills_and_still_follows_its_own() -> None:
    both = strip(1, 1, 1, 0, 0, 1, 1, 0)
    found = follow([both, A], [A, A])
    assert (found.spilled, found.switched, found.events) == (1, 0, 0)
    assert rates([[found]])["spilled_frames"] == 50.0


def test_rates_over_clips() -> None:
    right, wrong = follow(TRUTH, TRUTH), follow([A, A, A, A], TRUTH)
    found = rates([[right, right], [wrong, right]])
    assert found["clips"] == 2 and found["objects"] == 4
    assert found["switched_frames"] == 12.5 and found["switched_clips"] == 50.0
    assert found["ended_switched"] == 25.0 and found["events_per_object"] == 0.25
    assert found["j"] == 87.5 and found["lost_frames"] == 0
