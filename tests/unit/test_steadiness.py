"""Frames that need eyes: the wrong frame itself, not the good ones beside it; each change once."""

from __future__ import annotations

import pytest

from backends.ledger import ClipFigures, Pair
from backends.steadiness import by_frame, need_eyes


def pairs(*shares: float | str) -> ClipFigures:
    """A clip of two classes whose pairs agree like this; a word stands for a pair without figures."""
    made = [
        Pair("measured", {"car": share, "road": share}, {"car": share - 0.1, "road": share + 0.1})
        if isinstance(share, float)
        else Pair(share)  # type: ignore[arg-type]
        for share in shares
    ]
    return ClipFigures(tuple(made))


def listed(figures: ClipFigures, most: int = 9) -> list[int]:
    return [frame.index for frame in need_eyes(figures, len(figures.pairs) + 1, most)]


@pytest.mark.parametrize(
    ("figures", "wanted"),
    [
        (pairs(0.9, 0.9, 0.3, 0.4, 0.9, 0.9), [3]),  # one frame is wrong: not its neighbours 2 and 4
        (pairs(0.9, 0.9, 0.4, 0.9, 0.9), [3]),  # another answer from there on: the frame that brings it
        (pairs(0.9, 0.3, 0.3, 0.9, 0.9, 0.9, 0.5, 0.9, 0.9), [2, 7]),
        (pairs(0.3, 0.9, 0.9, 0.9), [0]),  # the first frame, which has one neighbour
        (pairs(0.9, 0.9, 0.3), [3]),
        (pairs(0.4), [1]),
        (pairs(1.0, 1.0, 1.0), []),  # nothing moves
        (pairs(0.8, 0.8, 0.8), [3]),  # all alike: one to begin with
        (pairs(0.9, "cut", 0.9, 0.4, 0.4, 0.9, 0.9), [4]),
        (pairs("cut", "cut"), []),
        (pairs(), []),
    ],
)
def test_each_change_is_told_once_by_the_frame_that_is_to_blame(
    figures: ClipFigures, wanted: list[int]
) -> None:
    assert listed(figures) == wanted


def test_frames_that_could_not_be_compared_come_first_and_the_list_ends() -> None:
    figures = pairs(0.9, "unread", "unread", 0.9, 0.3, 0.3, 0.9)
    figures = ClipFigures(figures.pairs, unread={2: "2.png: cannot be decoded"})
    assert listed(figures) == [2, 5]
    assert listed(figures, most=1) == [2]


def test_a_frame_has_the_mean_of_both_neighbours_and_names_its_worst_classes() -> None:
    figures = pairs(0.9, 0.5, "cut", 0.7)
    frames = by_frame(figures, 5)
    assert [frame.share for frame in frames] == pytest.approx([0.9, 0.7, 0.5, 0.7, 0.7])
    assert (frames[0].before, frames[1].before, frames[1].after) == pytest.approx((None, 0.9, 0.5), abs=1e-9)
    assert [frame.opens_scene for frame in frames] == [False, False, False, True, False]
    assert frames[1].worst == (("car", pytest.approx(0.6)), ("road", pytest.approx(0.8)))
    assert by_frame(figures, 5, "every")[1].per_class["car"] == pytest.approx(0.7)
    assert by_frame(ClipFigures(), 1)[0].share is None
    assert by_frame(pairs(0.9), 2)[0].worst == (("car", pytest.approx(0.8)),), "road stands still"


def test_the_list_reads_lowest_first() -> None:
    figures = pairs(0.9, 0.9, 0.3, 0.9, 0.9, 0.5, 0.5, 0.9, 0.9, 0.9)
    shares = [frame.share for frame in need_eyes(figures, 11, 9)]
    assert shares == pytest.approx([0.5, 0.6])
