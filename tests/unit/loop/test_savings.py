"""The figures behind "it pays": whose proposal, how good, untouched or not, and in how many seconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.export.annotations import SavedMask
from pipelines.export.project import LabelledClip
from pipelines.loop.savings import (
    BY_HAND,
    UNRECORDED,
    ClipFigures,
    VersionFigures,
    by_version,
    clip_figures,
    spread,
    without_idle,
)
from tests.saved_clips import V1, V2, clip, proposals, saved


def figures(*clips: LabelledClip) -> list[ClipFigures]:
    found = [made for one in clips if (made := clip_figures(one)) is not None]
    assert len(found) == len(clips)
    return found


def of(version: str, *clips: LabelledClip) -> VersionFigures:
    return next(found for found in by_version(figures(*clips)) if found.version == version)


def test_a_clip_counts_masks_by_origin_and_touched_frames_once() -> None:
    two_on_one_frame = [*proposals(V1, 3, [0.5]), saved("painted", 4, label="object 2")]
    [made] = figures(clip(two_on_one_frame, removed=[("object 2", 3), ("object 2", 4)]))
    assert (made.accepted, made.corrected, made.painted, made.removed, made.masks) == (3, 1, 2, 2, 6)
    assert made.touched_frames == 3, "frames 0, 3 and 4"
    assert made.version == V1


def test_the_version_that_proposed_most_has_the_clip_and_each_has_its_masks() -> None:
    mixed = clip([*proposals(V1, 2, [0.8]), saved("accepted", 7, by=V2)], seconds=20)
    first, second = of(V1, mixed), of(V2, mixed)
    assert (first.clips, first.accepted, first.corrected, first.painted) == (1, 2, 1, 1)
    assert (second.clips, second.accepted, second.corrected, second.painted) == (0, 1, 0, 0)
    assert first.accepted_share == pytest.approx(2 / 3)
    assert second.accepted_share == 1.0 and second.seconds is None


def test_by_hand_and_by_an_unknown_version_are_kept_apart() -> None:
    by_hand = clip([saved("painted", n) for n in range(4)], number=1)
    unknown = clip([saved("painted"), saved("corrected", 1, iou=0.7)], number=2)
    found = by_version(figures(by_hand, unknown))
    assert [item.version for item in found] == [BY_HAND, UNRECORDED]
    assert found[0].accepted_share is None and found[0].iou is None
    assert found[1].accepted_share == 0.0


def test_iou_is_of_proposals_and_what_was_deleted_has_none() -> None:
    one = clip(proposals(V1, 2, [0.4, 0.95]), removed=[("object 2", 5)])
    found = of(V1, one)
    assert found.iou is not None
    assert (found.iou.count, found.iou.mean) == (5, pytest.approx((1 + 1 + 0.4 + 0.95 + 0) / 5))
    assert found.bands == (2, 0, 0, 1, 2), "below .5, .75, .9, 1, and at 1"
    assert found.accepted_share == 0.4, "two of five proposals"


def test_a_proposal_whose_pixels_are_gone_counts_as_changed_without_an_iou() -> None:
    found = of(V1, clip([saved("corrected", 1, by=V1, iou=None), *proposals(V1, 1)]))
    assert (found.corrected, found.iou and found.iou.count) == (1, 1)


def test_versions_come_in_the_order_of_their_first_clips() -> None:
    late, early = clip(proposals(V1, 1), number=9), clip(proposals(V2, 1), number=2)
    assert [found.version for found in by_version(figures(late, early))] == [V2, V1]


def test_lunch_is_cut_at_five_medians_of_the_same_version() -> None:
    quick = [clip(proposals(V2, 1), number=n, seconds=20) for n in range(1, 5)]  # 2 s per frame
    lunch = clip(proposals(V2, 1), number=5, seconds=3600)
    slow = [clip([saved("painted")], number=n, seconds=300) for n in range(6, 10)]  # 30 s, by hand
    counted = without_idle(figures(*quick, lunch, *slow))
    assert [one.counted_s for one in counted] == [20] * 4 + [100] + [300] * 4
    assert [one.was_idle for one in counted] == [False] * 4 + [True] + [False] * 4
    found = of(V2, *quick, lunch, *slow)
    assert (found.idle_limit_s, found.idle_clips) == (10, 1)
    assert found.seconds_per_frame == pytest.approx((4 * 20 + 100) / 50)
    assert found.seconds and found.seconds.median == 2


def test_a_version_with_few_times_is_held_to_the_projects_median() -> None:
    slow = [clip([saved("painted")], number=n, seconds=100) for n in range(1, 5)]
    new = [clip(proposals(V2, 1), number=5, seconds=10), clip(proposals(V2, 1), number=6, seconds=9_000)]
    found = of(V2, *slow, *new)
    assert (found.idle_limit_s, found.idle_clips) == (50, 1)


def test_two_clips_cannot_tell_who_was_idle() -> None:
    both = [clip(proposals(V1, 1), number=1, seconds=10), clip(proposals(V1, 1), number=2, seconds=9_000)]
    found = of(V1, *both)
    assert (found.idle_limit_s, found.idle_clips) == (None, 0)
    assert found.seconds_per_frame == pytest.approx(9_010 / 20)


@pytest.mark.parametrize("seconds", [None, 0, -3, float("nan"), float("inf")])
def test_a_time_that_cannot_be_is_no_time(seconds: float | None) -> None:
    found = of(V1, clip(proposals(V1, 1), seconds=seconds))
    assert (found.untimed, found.seconds_per_frame, found.seconds) == (1, None, None)


def test_longer_clips_weigh_more_in_the_seconds_of_a_frame() -> None:
    short = clip(proposals(V1, 1), number=1, frames=1, seconds=30)
    long = clip(proposals(V1, 1), number=2, frames=99, seconds=99)
    assert of(V1, short, long).seconds_per_frame == pytest.approx(129 / 100)


def test_a_task_without_masks_says_nothing() -> None:
    assert clip_figures(clip([])) is None


def test_spread_of_one_and_of_none() -> None:
    assert spread([]) is None
    one = spread([3.0])
    assert one is not None and (one.low, one.median, one.high) == (3.0, 3.0, 3.0)


MASKS = st.builds(
    saved,
    st.sampled_from(["accepted", "corrected", "painted"]),
    st.integers(0, 9),
    by=st.sampled_from([V1, V2, ""]),
    iou=st.none() | st.floats(0, 1),
)
CLIPS = st.lists(
    st.tuples(st.lists(MASKS, min_size=1, max_size=8), st.none() | st.floats(0.1, 1e6), st.integers(1, 50)),
    max_size=12,
)


def built(drawn: list[tuple[list[SavedMask], float | None, int]]) -> list[ClipFigures]:
    return figures(*(clip(m, number=n, seconds=s, frames=f) for n, (m, s, f) in enumerate(drawn, start=1)))


@given(CLIPS)
def test_accepted_and_corrected_and_painted_are_all_masks(
    drawn: list[tuple[list[SavedMask], float | None, int]],
) -> None:
    clips = built(drawn)
    found = by_version(clips)
    assert sum(v.accepted + v.corrected + v.painted for v in found) == sum(len(m) for m, _, _ in drawn)
    assert sum(v.clips for v in found) == len(drawn)
    assert sum(sum(v.bands) for v in found) == sum(v.iou.count for v in found if v.iou)
    assert all(v.accepted_share is None or 0 <= v.accepted_share <= 1 for v in found)


@given(CLIPS, st.floats(1, 20))
def test_counted_time_is_never_more_than_the_clock_and_most_clips_keep_theirs(
    drawn: list[tuple[list[SavedMask], float | None, int]], factor: float
) -> None:
    counted = without_idle(built(drawn), factor)
    timed = [one for one in counted if one.lead_time_s is not None]
    assert all(one.counted_s is not None and 0 < one.counted_s <= one.lead_time_s for one in timed)  # type: ignore[operator]
    assert all(one.counted_s is None for one in counted if one.lead_time_s is None)
