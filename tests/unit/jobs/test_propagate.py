"""The propagation itself, with a segmenter of a few lines that notes what it was asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from backends.core.errors import BadMask
from backends.core.types import Clip, FrameMasks, MaskPrompt, Prompt
from pipelines.propagate import Earlier, anchor_digests, propagate
from pipelines.stopwatch import Stopwatch
from tests.queue_house import SIZE_HW, disc, same_frames
from tests.stand_in import StandIn

N = 12


class Noise:
    """Frames of seeded noise."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: int, /) -> np.ndarray:
        return np.random.default_rng(index).integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)


class Noting(StandIn):
    """Keeps the parts it ran on and what it was given there."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "asked", [])

    def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        self.asked.append((int(clip.names[0]), len(clip), list(prompts)))  # type: ignore[attr-defined]
        return super().segment(clip, prompts)


CLIP = Clip("c", Noise(), SIZE_HW, tuple(f"{i:05d}" for i in range(N)))
A0, A6 = MaskPrompt("a", 0, disc(8, 8)), MaskPrompt("a", 6, disc(10, 20, 5))
B0 = MaskPrompt("b", 0, disc(16, 24, 3))


def run(anchors: Sequence[MaskPrompt], **more) -> list[FrameMasks]:
    return list(propagate(more.pop("segmenter", StandIn()), CLIP, anchors, **more))


def earlier(anchors: Sequence[MaskPrompt]) -> Earlier:
    return Earlier(anchor_digests(anchors), {f.frame_index: f for f in run(anchors)})


def test_every_frame_once_and_anchors_bit_for_bit() -> None:
    frames = {f.frame_index: f for f in run([A0, A6, B0])}
    assert sorted(frames) == list(range(N)) and all(set(f.masks) == {"a", "b"} for f in frames.values())
    for anchor in (A0, A6, B0):
        frame = frames[anchor.frame_index]
        assert np.array_equal(frame.masks[anchor.object_id], anchor.mask)
        assert frame.confidence[anchor.object_id] == 1.0 and anchor.object_id in frame.anchors
    assert frames[3].anchors == frozenset() and 0 < frames[3].confidence["a"] < 1


def test_other_masks_give_way_to_an_anchor() -> None:
    over_b = MaskPrompt("a", 5, np.ones(SIZE_HW, np.bool_))
    [frame] = [f for f in run([A0, B0, over_b]) if f.frame_index == 5]
    assert frame.masks["a"].all() and not frame.masks["b"].any()


def test_a_correction_runs_one_stretch_and_keeps_the_rest() -> None:
    late = MaskPrompt("b", 9, disc(4, 4))
    anchors = [A0, A6, B0, late]
    before = earlier(anchors)
    fixed = MaskPrompt("b", 4, disc(12, 12))
    segmenter = Noting()
    after = {f.frame_index: f for f in run([*anchors, fixed], earlier=before, segmenter=segmenter)}
    [(first, length, prompts)] = segmenter.asked
    assert (first, length) == (0, 10), "frames 0 to 9: b's neighbouring anchors"
    by_kind = {(p.object_id, p.frame_index): p.is_anchor for p in prompts}
    assert by_kind == {("a", t): t in (0, 6) for t in range(10)} | {
        ("b", 0): True,
        ("b", 4): True,
        ("b", 9): True,
    }
    for t in (0, 9, 10, 11):
        assert same_frames([after[t]], [before.frames[t]])
    for t in range(N):
        free = ~fixed.mask if t == 4 else True
        assert np.array_equal(after[t].masks["a"], before.frames[t].masks["a"] & free)
    assert np.array_equal(after[4].masks["b"], fixed.mask)


def test_frames_that_need_no_work_come_first_and_cost_nothing() -> None:
    before = earlier([A0, A6, B0])
    segmenter, watch = Noting(), Stopwatch()
    stream = propagate(segmenter, CLIP, [A0, MaskPrompt("a", 6, disc()), B0], earlier=before, watch=watch)
    assert next(stream).frame_index == 0 and segmenter.asked == [] and watch.laps_ms == []
    assert len(list(stream)) == N - 1 and len(watch.laps_ms) == N


def test_an_unchanged_wish_runs_nothing() -> None:
    segmenter = Noting()
    before = earlier([A0, B0])
    assert same_frames(run([A0, B0], earlier=before, segmenter=segmenter), list(before.frames.values()))
    assert segmenter.asked == []


def test_an_object_that_is_gone_is_gone_everywhere() -> None:
    segmenter = Noting()
    frames = run([A0], earlier=earlier([A0, B0]), segmenter=segmenter)
    assert segmenter.asked == [] and all(set(f.masks) == {"a"} for f in frames)


@pytest.mark.parametrize("done", [0, 1, 5, N - 1])
def test_what_was_interrupted_goes_on_to_the_same_masks(done: int) -> None:
    whole = run([A0, A6, B0])
    rest = run([A0, A6, B0], finished={f.frame_index: f for f in whole[:done]})
    assert len(rest) == N - done and same_frames([*whole[:done], *rest], whole)


def test_interrupted_correction_goes_on_to_the_same_masks() -> None:
    before, anchors = earlier([A0, B0]), [A0, A6, B0]
    whole = run(anchors, earlier=before)
    rest = run(anchors, earlier=before, finished={f.frame_index: f for f in whole[:7]})
    assert same_frames([*whole[:7], *rest], whole)


def test_an_object_out_of_sight_is_not_carried() -> None:
    """An empty anchor says "not here": between two of them there is nothing, and nobody is asked for it."""
    gone = [MaskPrompt("b", t, np.zeros(SIZE_HW, np.bool_)) for t in (3, 7)]
    before = earlier([A0, B0, *gone])
    segmenter = Noting()
    middle = MaskPrompt("b", 5, np.zeros(SIZE_HW, np.bool_))
    frames = {f.frame_index: f for f in run([A0, B0, *gone, middle], earlier=before, segmenter=segmenter)}
    assert all("b" not in {p.object_id for p in prompts} for _, _, prompts in segmenter.asked)
    assert not any(frames[t].masks["b"].any() for t in range(3, 8))


def test_nothing_painted_is_refused() -> None:
    with pytest.raises(BadMask, match="every given mask is empty"):
        run([MaskPrompt("a", 0, np.zeros(SIZE_HW, np.bool_))])
