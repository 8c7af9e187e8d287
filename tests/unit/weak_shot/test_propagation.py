"""Sparse propagation against the dense reference, and what it must keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backends.core.errors import BadInput
from backends.weak_shot.edge_cut import cut_edges, way
from backends.weak_shot.linear import power_series
from backends.weak_shot.neighbourhood import affinity_matrix, half_plane
from backends.weak_shot.propagation import Walk, propagate, transition
from tests.unit.weak_shot.grids import dense_propagation, pairs_between, rim_of, two_regions

HW = (22, 19)
REGIONS = two_regions(*HW)
PAIRS = pairs_between(REGIONS)
RIM = rim_of(REGIONS)
SCORES = np.random.default_rng(1).random((3, *HW)).astype(np.float32)


@pytest.mark.parametrize("method", ["steps", "chebyshev"])
def test_plain_walk_is_the_dense_walk(method: str) -> None:
    wanted, _, _ = dense_propagation(SCORES, PAIRS, None)
    found = propagate(SCORES, PAIRS, None, Walk(method=method))  # type: ignore[arg-type]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(wanted - SCORES).max() > 0.1  # otherwise any answer would do


@pytest.mark.parametrize("method", ["steps", "chebyshev"])
def test_two_stages_are_the_dense_ones(method: str) -> None:
    wanted, _, _ = dense_propagation(SCORES, PAIRS, RIM)
    found = propagate(SCORES, PAIRS, RIM, Walk(method=method))  # type: ignore[arg-type]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_stage_two_is_where_its_walk_ends() -> None:
    """2^30 steps move a rim cell no further than one linear solve."""
    stage_1 = propagate(SCORES, PAIRS, RIM, Walk(stages=1, steps=1))
    _, _, second = dense_propagation(SCORES, PAIRS, RIM)
    power = second
    for _ in range(30):
        power = power @ power
    wanted = (stage_1.reshape(3, -1) @ power).reshape(SCORES.shape)
    found = propagate(SCORES, PAIRS, RIM, Walk(steps=1))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_rows_of_the_walk_sum_to_one_and_so_do_columns_of_t() -> None:
    _, first, second = dense_propagation(SCORES, PAIRS, RIM)
    np.testing.assert_allclose(first.sum(axis=0), 1, atol=1e-12)
    np.testing.assert_allclose(second.sum(axis=0), 1, atol=1e-12)
    walk = transition(affinity_matrix(PAIRS, 5, 8.0))
    np.testing.assert_allclose(walk.sum(axis=1), 1, atol=1e-6)
    _, plain, _ = dense_propagation(SCORES, PAIRS, None)
    np.testing.assert_allclose(walk.toarray().T, plain, atol=1e-6)


@pytest.mark.parametrize("method", ["steps", "chebyshev", "implicit"])
def test_a_constant_stays_and_nothing_leaves_its_range(method: str) -> None:
    walk = Walk(method=method)  # type: ignore[arg-type]
    flat = np.full((2, *HW), 0.37, np.float32)
    np.testing.assert_allclose(propagate(flat, PAIRS, RIM, walk), flat, atol=2e-6)
    found = propagate(SCORES, PAIRS, RIM, walk)
    assert found.min() >= SCORES.min() - 1e-6 and found.max() <= SCORES.max() + 1e-6


def test_stage_one_leaves_boundary_cells_as_they_are() -> None:
    found = propagate(SCORES, PAIRS, RIM, Walk(stages=1))
    np.testing.assert_array_equal(found[:, RIM], SCORES[:, RIM])
    assert (found[:, ~RIM] != SCORES[:, ~RIM]).all()


def test_stage_two_leaves_the_others_as_they_are() -> None:
    one, two = (propagate(SCORES, PAIRS, RIM, Walk(stages=stages)) for stages in (1, 2))
    np.testing.assert_array_equal(one[:, ~RIM], two[:, ~RIM])
    assert (np.abs(one - two)[:, RIM].max(axis=0) > 1e-4).all()


def test_boundary_cells_that_nothing_reaches_keep_their_scores() -> None:
    rim = np.ones(HW, bool)
    np.testing.assert_array_equal(propagate(SCORES, PAIRS, rim, Walk()), SCORES)
    rim[:, :10] = False
    severed = PAIRS.copy()
    for row, (_, dx) in zip(severed, half_plane(5), strict=True):
        for x in range(HW[1]):
            if (x < 10) != (x + dx < 10) and 0 <= x + dx < HW[1]:
                row[:, x] = 0
    found = propagate(SCORES, severed, rim, Walk())
    np.testing.assert_array_equal(found[..., 10:], SCORES[..., 10:])


def test_the_implicit_walk_separates_what_the_steps_separate() -> None:
    regions = two_regions(30, 30)
    pairs, rim = pairs_between(regions, seed=2, contrast=1.0), rim_of(regions)
    y, x = np.mgrid[:30, :30]
    response = np.exp(-((y - 12) ** 2 + (x - 17) ** 2) / 120)  # off centre, and wider
    seed = np.stack([(1 - response) ** 4, response]).astype(np.float32)
    for method in ("steps", "implicit"):
        labels = propagate(seed, pairs, rim, Walk(method=method)).argmax(0)  # type: ignore[arg-type]
        inside, disc = labels == 1, regions == 1
        assert (inside & disc).sum() / (inside | disc).sum() > 0.85, method


def test_classes_do_not_see_each_other() -> None:
    """So only those present need to be carried."""
    both = propagate(SCORES, PAIRS, RIM, Walk())
    for row in range(3):
        alone = propagate(SCORES[row : row + 1], PAIRS, RIM, Walk())
        np.testing.assert_allclose(alone[0], both[row], atol=1e-6)


def test_a_probability_is_cut_at_the_threshold() -> None:
    soft = np.where(RIM, 0.6, 0.3).astype(np.float32)
    np.testing.assert_array_equal(
        propagate(SCORES, PAIRS, soft, Walk()), propagate(SCORES, PAIRS, RIM, Walk())
    )
    np.testing.assert_array_equal(
        propagate(SCORES, PAIRS, soft, Walk(threshold=0.7)), propagate(SCORES, PAIRS, None, Walk())
    )


@pytest.mark.parametrize("hw", [(1, 1), (1, 9), (9, 1), (2, 3)])
@pytest.mark.parametrize("method", ["steps", "chebyshev", "implicit"])
def test_tiny_grids(hw: tuple[int, int], method: str) -> None:
    scores = np.random.default_rng(3).random((2, *hw)).astype(np.float32)
    pairs = pairs_between(np.zeros(hw, np.int64))
    for rim in (None, np.zeros(hw, bool), np.ones(hw, bool)):
        found = propagate(scores, pairs, rim, Walk(method=method))  # type: ignore[arg-type]
        assert found.shape == scores.shape and np.isfinite(found).all()
    if hw == (1, 1):
        np.testing.assert_allclose(found, scores, atol=1e-6)


def test_series_of_a_power() -> None:
    """T_k(cos t) = cos(k t)."""
    angles = np.linspace(0, np.pi, 301)
    for steps in (1, 2, 3, 16, 255, 256, 1000):
        series = power_series(steps)
        found = sum(c * np.cos(k * angles) for k, c in enumerate(series))
        np.testing.assert_allclose(found, np.cos(angles) ** steps, atol=2e-8)
    assert len(power_series(256)) < 100


def test_a_cut_stops_hops_over_a_thin_wall() -> None:
    """Edges reach four cells: leaving out the cells of a thin wall does not part its sides, cutting does."""
    hw = (12, 24)
    wall = np.zeros(hw, bool)
    wall[:, 12] = True
    pairs = np.ones((34, *hw), np.float32)
    scores = np.zeros((1, *hw), np.float32)
    scores[0, :, :12] = 1
    leaking = propagate(scores, pairs, wall, Walk())
    parted = propagate(scores, pairs, wall, Walk(cut=True))
    assert leaking[0, :, 13:].min() > 0.2
    np.testing.assert_allclose(parted[0, :, 13:], 0, atol=1e-6)
    np.testing.assert_allclose(parted[0, :, :12], 1, atol=1e-6)


def test_a_cut_weakens_by_the_strongest_boundary_on_the_way() -> None:
    boundary = np.zeros((1, 6), np.float32)
    boundary[0, 1], boundary[0, 2] = 0.25, 0.75
    offsets = half_plane(5)
    cut = cut_edges(np.ones((34, 1, 6), np.float32), boundary, 5)
    at = {dx: offsets.index((0, dx)) for dx in range(1, 5)}
    assert cut[at[1], 0, 0] == 1  # neighbours: nothing between
    assert cut[at[2], 0, 0] == 0.75
    assert cut[at[3], 0, 0] == 0.25
    assert cut[at[2], 0, 2] == 1  # a boundary at the end is no part of the way
    assert cut[at[2], 0, 5] == 1  # leads out of the image: left alone


def test_ways_are_straight_and_mirror() -> None:
    assert way(0, 4) == ((0, 1), (0, 2), (0, 3))
    assert way(3, -3) == ((1, -1), (2, -2))
    for dy, dx in half_plane(5):
        assert way(dy, -dx) == tuple((y, -x) for y, x in way(dy, dx))
        for y, x in way(dy, dx):
            assert abs(y * dx - x * dy) / np.hypot(dy, dx) <= 0.5


@pytest.mark.parametrize(
    "wrong",
    [{"beta": 0}, {"steps": 0}, {"radius": 1}, {"stages": 3}, {"method": "magic"}, {"threshold": 0}],
)
def test_impossible_walks_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        replace(Walk(), **wrong)  # type: ignore[arg-type]


def test_grids_that_do_not_match_are_refused() -> None:
    with pytest.raises(BadInput, match="grids must match"):
        propagate(SCORES[:, 1:], PAIRS, None, Walk())
    with pytest.raises(BadInput, match="boundary of shape"):
        propagate(SCORES, PAIRS, RIM[1:], Walk())
