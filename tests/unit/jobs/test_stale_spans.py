"""Which cells run again after a person changed masks: a table, and what must hold for any change."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.propagate import stale_spans

N = 10


def marks(**objects: dict[int, str]) -> dict[tuple[str, int], str]:
    """a={0: "x"} -> {("a", 0): "x"}."""
    return {(name, frame): mark for name, frames in objects.items() for frame, mark in frames.items()}


def table(old: dict, new: dict, n_frames: int = N) -> list[tuple[int, int, dict[str, list[int]]]]:
    spans = stale_spans(old, new, n_frames)
    return [(s.first, s.last, {name: sorted(frames) for name, frames in s.stale.items()}) for s in spans]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, marks(a={0: "x"}), [(0, 9, {"a": [*range(10)]})]),
        (marks(a={0: "x"}), marks(a={0: "x"}), []),
        # added: up to the neighbours on both sides
        (marks(a={0: "x"}), marks(a={0: "x", 6: "y"}), [(0, 9, {"a": [*range(1, 10)]})]),
        (marks(a={0: "x", 8: "z"}), marks(a={0: "x", 4: "y", 8: "z"}), [(0, 8, {"a": [*range(1, 8)]})]),
        # changed
        (
            marks(a={2: "x", 5: "y", 8: "z"}),
            marks(a={2: "x", 5: "Y", 8: "z"}),
            [(2, 8, {"a": [3, 4, 5, 6, 7]})],
        ),
        # removed: neighbours in either run
        (marks(a={0: "x", 4: "y", 8: "z"}), marks(a={0: "x", 8: "z"}), [(0, 8, {"a": [*range(1, 8)]})]),
        # the first anchor moves: from the clip's start
        (marks(a={3: "x", 7: "y"}), marks(a={3: "X", 7: "y"}), [(0, 7, {"a": [0, 1, 2, 3, 4, 5, 6]})]),
        # two changes of one object apart: two spans that share the unchanged anchor between them
        (
            marks(a={0: "x", 3: "c", 5: "m", 7: "d", 9: "y"}),
            marks(a={0: "x", 3: "C", 5: "m", 7: "D", 9: "y"}),
            [(0, 5, {"a": [1, 2, 3, 4]}), (5, 9, {"a": [6, 7, 8]})],
        ),
        # another object is not touched
        (
            marks(a={0: "x"}, b={0: "x", 5: "y"}),
            marks(a={0: "x"}, b={0: "x", 5: "Y"}),
            [(0, 9, {"b": [*range(1, 10)]})],
        ),
        # overlapping spans of two objects run together, each with its own cells
        (
            marks(a={0: "x", 4: "y", 9: "z"}, b={2: "x", 6: "y", 9: "z"}),
            marks(a={0: "x", 4: "y", 9: "Z"}, b={2: "X", 6: "y", 9: "z"}),
            [(0, 9, {"a": [5, 6, 7, 8, 9], "b": [0, 1, 2, 3, 4, 5]})],
        ),
        # a new object: all of its cells, nobody else's
        (marks(a={0: "x"}), marks(a={0: "x"}, b={3: "y"}), [(0, 9, {"b": [*range(10)]})]),
        # an object that is gone makes nothing stale
        (marks(a={0: "x"}, b={3: "y"}), marks(a={0: "x"}), []),
        # its only anchor moved elsewhere
        (marks(a={2: "x"}), marks(a={5: "x"}), [(0, 9, {"a": [*range(10)]})]),
    ],
)
def test_table(old: dict, new: dict, expected: list) -> None:
    assert table(old, new) == expected


def test_a_clip_of_one_frame() -> None:
    assert table({}, marks(a={0: "x"}, b={0: "y"}), 1) == [(0, 0, {"a": [0], "b": [0]})]


anchor_sets = st.dictionaries(
    st.tuples(st.sampled_from("ab"), st.integers(0, N - 1)), st.sampled_from("xy"), max_size=8
)


@given(anchor_sets, anchor_sets)
def test_what_must_hold_for_any_change(old: dict, new: dict) -> None:
    spans = stale_spans(old, new, N)
    for before, after in itertools.pairwise(spans):
        assert before.last <= after.first, "spans share end frames at most"
    cells = [(name, frame) for span in spans for name, frames in span.stale.items() for frame in frames]
    assert len(cells) == len(set(cells)), "no cell runs twice"
    for span in spans:
        assert span.stale and all(span.first <= f <= span.last for fs in span.stale.values() for f in fs)
    for name in "ab":
        has_anchor = {frame for owner, frame in new if owner == name}
        mine = {frame for owner, frame in cells if owner == name}
        assert has_anchor or not mine
        changed = {f for f in range(N) if old.get((name, f)) != new.get((name, f))}
        if has_anchor:
            assert changed <= mine, "what a person changed is always stale"
            kept = has_anchor - changed
            for frame in set(range(N)) - mine - kept:
                known = {f for owner, f in (*old, *new) if owner == name}
                left, right = (
                    max((f for f in known if f < frame), default=None),
                    min((f for f in known if f > frame), default=None),
                )
                assert {left, right} - {None} <= kept, "fresh cells lie between untouched anchors"
        for span in spans:  # whatever runs has an anchor of its own to run from
            if name in span.stale:
                assert any(span.first <= f <= span.last for f in has_anchor)
