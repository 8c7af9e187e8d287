"""NSM and its controls, and the choice of a share of the cells."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from backends.core.errors import BadInput
from backends.video_semantic.selection import gradient_magnitude, nsm, random_scores, scorer, select


def by_the_book(q: Tensor, radius: int) -> Tensor:
    """Cell by cell, KL(u || p) as a sum of u log(u / p), cosines one by one."""
    height, width, depth = q.shape
    out = torch.zeros(height, width)
    for y in range(height):
        for x in range(width):
            near = q[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
            around = near.reshape(-1, depth)
            p = (around @ q[y, x] / math.sqrt(depth)).softmax(0)
            u = 1.0 / len(around)
            turned = (1 - F.cosine_similarity(around, q[y, x][None], dim=1)).mean()
            out[y, x] = (u * (u / p).log()).sum() + turned
    return out


@pytest.mark.parametrize(
    ("hw", "radius"), [((9, 14), 2), ((9, 14), 5), ((3, 4), 5), ((1, 6), 2), ((1, 1), 5)]
)
def test_nsm_is_the_formula(hw: tuple[int, int], radius: int) -> None:
    q = torch.randn(*hw, 8, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(nsm(q, radius), by_the_book(q, radius), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    size=st.sampled_from([(1, 1), (4, 9), (12, 5)]),
    gain=st.sampled_from([0.0, 1e-4, 1.0, 60.0]),
)
def test_nsm_is_never_negative_and_always_finite(seed: int, size: tuple[int, int], gain: float) -> None:
    q = torch.randn(*size, 6, generator=torch.Generator().manual_seed(seed)) * gain
    found = nsm(q, 3)
    assert torch.isfinite(found).all() and found.min() >= 0


def test_a_constant_map_is_simple_everywhere_its_borders_too() -> None:
    q = torch.randn(16, generator=torch.Generator().manual_seed(4)).expand(20, 30, 16)
    assert nsm(q).max() < 1e-5


def test_a_step_edge_is_on_top() -> None:
    left, right = torch.randn(2, 16, generator=torch.Generator().manual_seed(4))
    q = torch.where((torch.arange(40) < 20)[None, :, None], left, right).expand(24, 40, 16)
    chosen = select(nsm(q, 5), 0.25)  # 10 columns of 24 cells; the edge lies between columns 19 and 20
    columns = chosen.any(0).nonzero().flatten()
    assert columns.min() >= 15 and columns.max() <= 24 and chosen.sum() == 240


def test_several_maps_are_scored_like_each_alone() -> None:
    q = torch.randn(3, 7, 9, 8, generator=torch.Generator().manual_seed(5))
    for way in ("nsm", "gradient", "random"):
        score = scorer(way, 3)  # type: ignore[arg-type]
        assert torch.equal(score(q, False)[1], score(q[1:2], False)[0]), way


def test_gradient_magnitude_sees_a_step_and_nothing_else() -> None:
    q = torch.zeros(6, 10, 3)
    q[:, 5:] = 2.0
    found = gradient_magnitude(q)
    assert found[:, 4:6].min() > 0 and found[:, :4].max() == found[:, 6:].max() == 0


def test_random_choice_is_the_same_for_every_frame_but_fresh_in_training() -> None:
    q = torch.zeros(2, 8, 8, 4)
    assert torch.equal(random_scores(q, fresh=False)[0], random_scores(q, fresh=False)[1])
    assert not torch.equal(random_scores(q, fresh=True), random_scores(q, fresh=True))


@pytest.mark.parametrize("rho", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_exactly_the_share_is_chosen_and_it_is_the_best(rho: float) -> None:
    score = torch.randn(2, 9, 11, generator=torch.Generator().manual_seed(6))
    chosen = select(score, rho)
    assert chosen.sum((1, 2)).tolist() == [round(rho * 99)] * 2
    if 0 < rho < 1:
        assert score[chosen].view(2, -1).amin(1).gt(score[~chosen].view(2, -1).amax(1)).all()


def test_equals_are_chosen_in_reading_order() -> None:
    chosen = select(torch.tensor([[1.0, 2.0, 1.0], [1.0, 1.0, 2.0]]), 0.5)
    assert chosen.tolist() == [[True, True, False], [False, False, True]]


def test_what_is_no_share_and_no_way_is_refused() -> None:
    with pytest.raises(BadInput, match="rho"):
        select(torch.zeros(2, 2), 1.1)
    with pytest.raises(BadInput, match="nsm"):
        scorer("clever", 5)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="radius"):
        scorer("nsm", 0)
