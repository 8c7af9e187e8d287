"""J and F against the official definition, written out slowly, and against cases known by hand."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.morphology import disk

from backends.core.errors import BadInput, BadMask
from backends.core.metrics import Score, boundary, boundary_f, jaccard, mean_score, score_object

Bits = NDArray[np.bool_]


def slow_boundary(mask: Bits) -> Bits:
    height, width = mask.shape
    edge = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            if y == height - 1 and x == width - 1:
                continue
            looked_at = []
            if x < width - 1:
                looked_at.append(mask[y, x + 1])
            if y < height - 1:
                looked_at.append(mask[y + 1, x])
            if x < width - 1 and y < height - 1:
                looked_at.append(mask[y + 1, x + 1])
            edge[y, x] = any(other != mask[y, x] for other in looked_at)
    return edge


def slow_share_near(edge: Bits, other: Bits, radius: int) -> float:
    """The share of ``edge`` that lies under a disk around some pixel of ``other``."""
    height, width = edge.shape
    reached = np.zeros((height + 2 * radius, width + 2 * radius), bool)
    footprint = disk(radius).astype(bool)
    for y, x in zip(*np.nonzero(other), strict=True):
        reached[y : y + 2 * radius + 1, x : x + 2 * radius + 1] |= footprint
    inside = reached[radius : radius + height, radius : radius + width]
    return float((edge & inside).sum() / edge.sum())


def slow_f(prediction: Bits, truth: Bits, tolerance: float = 0.008) -> float:
    radius = int(np.ceil(tolerance * np.linalg.norm(truth.shape)))
    ours, theirs = slow_boundary(prediction), slow_boundary(truth)
    if not ours.any() and not theirs.any():
        return 1.0
    if not ours.any() or not theirs.any():
        return 0.0
    precision, recall = slow_share_near(ours, theirs, radius), slow_share_near(theirs, ours, radius)
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Bits, Bits]:
    """Two blocky masks of one size, empty and full ones among them."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    block = draw(st.integers(1, 12))

    def one() -> Bits:
        share = draw(st.sampled_from([0.0, 0.2, 0.5, 1.0]))
        small = rng.random((height // block + 1, width // block + 1)) < share
        return np.kron(small, np.ones((block, block), bool))[:height, :width]

    return one(), one()


@settings(max_examples=120, deadline=None)
@given(pairs(), st.sampled_from([0.008, 0.03, 0.1]))
def test_f_is_the_official_one(pair: tuple[Bits, Bits], tolerance: float) -> None:
    prediction, truth = pair
    assert (boundary(truth).astype(bool) == slow_boundary(truth)).all()
    assert boundary_f(prediction, truth, tolerance=tolerance) == slow_f(prediction, truth, tolerance)


@pytest.mark.parametrize(("size_hw", "radius"), [((480, 854), 8), ((240, 427), 4), ((120, 214), 2)])
def test_tolerance_reaches_exactly_so_far(size_hw: tuple[int, int], radius: int) -> None:
    """Two one-pixel-wide boundaries match at ``radius`` pixels and not at one more."""
    truth, near, far = (np.zeros(size_hw, bool) for _ in range(3))
    truth[:, :50] = True
    near[:, : 50 + radius] = True
    far[:, : 50 + radius + 1] = True
    assert boundary_f(near, truth) == 1.0
    assert boundary_f(far, truth) == 0.0


def test_edge_cases() -> None:
    empty, full = np.zeros((20, 20), bool), np.ones((20, 20), bool)
    some = empty.copy()
    some[5:10, 5:10] = True
    assert (jaccard(empty, empty), boundary_f(empty, empty)) == (1.0, 1.0)
    assert (jaccard(some, empty), boundary_f(some, empty)) == (0.0, 0.0)
    assert (jaccard(empty, some), boundary_f(empty, some)) == (0.0, 0.0)
    assert (jaccard(full, full), boundary_f(full, empty)) == (1.0, 1.0)  # a full frame has no boundary either
    assert (jaccard(some, some), boundary_f(some, some)) == (1.0, 1.0)
    with pytest.raises(BadMask, match="different size"):
        boundary_f(empty, np.zeros((20, 21), bool))
    with pytest.raises(BadMask, match="different size"):
        jaccard(empty, np.zeros((20, 21), bool))


def test_first_and_last_frame_do_not_count() -> None:
    right = np.zeros((20, 20), bool)
    right[5:15, 5:15] = True
    wrong = ~right
    half = right.copy()
    half[5:10] = False
    score = score_object([wrong, right, half, wrong], [right] * 4)
    assert score.j == pytest.approx((1.0 + 0.5) / 2)
    assert score.f == pytest.approx((1.0 + slow_f(half, right)) / 2)
    assert score.j_and_f == (score.j + score.f) / 2


def test_means_and_refusals() -> None:
    assert mean_score([Score(1.0, 0.5), Score(0.5, 0.0)]) == Score(0.75, 0.25)
    empty = np.zeros((4, 4), bool)
    with pytest.raises(BadInput, match="no scores"):
        mean_score([])
    with pytest.raises(BadInput, match="2 frames"):
        score_object([empty] * 2, [empty] * 2)
    with pytest.raises(BadInput, match="3 predicted masks for 4"):
        score_object([empty] * 3, [empty] * 4)


def test_f_of_a_480p_frame_takes_milliseconds() -> None:
    y, x = np.mgrid[:480, :854]
    truth = (y - 240) ** 2 + (x - 400) ** 2 < 200**2
    found = (y - 235) ** 2 + (x - 410) ** 2 < 190**2
    best_s = min(_timed(found, truth) for _ in range(5))
    assert best_s < 0.02


def _timed(found: Bits, truth: Bits) -> float:
    started = time.perf_counter()
    boundary_f(found, truth)
    return time.perf_counter() - started
