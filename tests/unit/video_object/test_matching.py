"""Isometric and local correlation do what the method promises."""

import math

import pytest
import torch
from torch.nn import functional as F

from backends.core.errors import BadInput
from backends.video_object.matching import (
    around,
    best,
    bias_of,
    carried,
    gram_of,
    isometry,
    isometry_of_gram,
    local_correlation,
    local_tops,
    local_volumes,
    rows_of,
    window_index,
)


def unit_rows(count: int, channels: int, seed: int = 0, decay: float = 0.95) -> torch.Tensor:
    """Features whose directions are as unequal as a real template's: condition number far above 1."""
    generator = torch.Generator().manual_seed(seed)
    spread = decay ** torch.arange(channels)
    return F.normalize(torch.randn(count, channels, generator=generator) * spread, dim=-1)


def cosines(x: torch.Tensor) -> torch.Tensor:
    x = F.normalize(x.double(), dim=-1)
    return x @ x.T


@pytest.mark.parametrize("method", ["eigh", "svd"])
@pytest.mark.parametrize("rows", [128, 405, 1620])
def test_exact_isometry_keeps_cosines_of_the_current_frame(method, rows):
    template, frame = unit_rows(rows, 64).double(), unit_rows(50, 64, seed=1).double()
    iso = template @ isometry(template, method=method, eps=0.0)
    error = (cosines(frame @ iso.T) - cosines(frame)).abs().max()
    raw = (cosines(frame @ template.T) - cosines(frame)).abs().max()
    assert error < 1e-4
    assert raw > 0.05, "the raw template should distort, or this test shows nothing"


@pytest.mark.parametrize("eps", [0.05, 0.2, 0.5])
def test_the_band_keeps_distortion_below_wielandts_bound(eps):
    template, frame = unit_rows(405, 64), unit_rows(60, 64, seed=2)
    frame = torch.linalg.qr(frame.T)[0].T[:60]  # orthogonal features: the bound speaks of them
    iso = template @ isometry(template, eps=eps)
    condition = (1 + eps) ** 4
    bound = (condition - 1) / (condition + 1)
    off_diagonal = cosines(frame @ iso.T) - torch.eye(60)
    assert off_diagonal.abs().max() <= bound + 1e-5


def test_both_methods_agree():
    template = unit_rows(200, 32)
    assert torch.allclose(isometry(template, method="eigh"), isometry(template, method="svd"), atol=1e-4)


@pytest.mark.parametrize("method", ["eigh", "svd"])
def test_a_rank_deficient_template_gives_finite_maps(method):
    template = unit_rows(100, 8).repeat(1, 4)  # rank 8 of 32
    a = isometry(F.normalize(template, dim=-1), method=method, eps=0.2)
    assert torch.isfinite(a).all()
    assert torch.isfinite(isometry(torch.ones(1, 40, 32) / math.sqrt(32), method=method)).all()


def test_fewer_rows_than_channels_is_refused_by_name():
    with pytest.raises(BadInput, match="31 rows for 32 channels"):
        isometry(unit_rows(31, 32))


def test_newton_schulz_brings_the_singular_values_near_one():
    template = unit_rows(405, 64, decay=0.97)
    spread = torch.linalg.svdvals(template @ isometry(template, method="ns5")) / (405 / 64) ** 0.5
    assert spread.min() > 0.6 and spread.max() < 1.2
    assert torch.linalg.svdvals(template).amax() / torch.linalg.svdvals(template).amin() > 5
    singular = torch.ones(1, 40, 32) / math.sqrt(32)
    assert torch.isfinite(isometry(singular, method="ns5")).all()


def test_the_family_runs_from_raw_matching_to_the_ridge_classifier():
    template = unit_rows(405, 32).double()
    masks = (torch.arange(405) < 120).double()

    def score(g: float) -> torch.Tensor:
        frame = unit_rows(50, 32, seed=5).double()
        return frame @ (template @ isometry(template, eps=0.0, g=g)).T @ masks

    raw = unit_rows(50, 32, seed=5).double() @ template.T @ masks
    ridge = unit_rows(50, 32, seed=5).double() @ torch.linalg.lstsq(template, masks[:, None]).solution[:, 0]
    assert torch.corrcoef(torch.stack((score(0.0), raw)))[0, 1] > 1 - 1e-9
    assert torch.corrcoef(torch.stack((score(2.0), ridge)))[0, 1] > 1 - 1e-9
    assert torch.corrcoef(torch.stack((score(1.0), ridge)))[0, 1] < 1 - 1e-6
    with pytest.raises(BadInput, match="svb_g is 2"):
        isometry(template, method="ns5", g=2.0)


@pytest.mark.parametrize("method", ["eigh", "ns5"])
def test_a_template_may_grow_by_its_gram_matrix_and_rows_of_zeros_change_nothing(method):
    first, more = unit_rows(150, 32), unit_rows(80, 32, seed=7)
    whole = isometry(torch.cat((first, more)), method=method, eps=0.1)
    grown = isometry_of_gram(gram_of(first) + gram_of(more), 230, method=method, eps=0.1)
    assert torch.allclose(whole.double(), grown, atol=1e-5)
    padded = isometry(torch.cat((first, more, torch.zeros(40, 32))), method=method, eps=0.1)
    assert torch.allclose(whole, padded, atol=1e-5)


def test_off_is_raw_matching():
    assert torch.equal(isometry(unit_rows(10, 32), method="off"), torch.eye(32))


def test_small_objects_own_their_largest_cell_and_unknown_rows_are_neither():
    foreground, background = rows_of(
        torch.tensor([[0.0, 0.1, 0.05, -1.0], [0.9, 0.6, 0.2, -1.0], [0.0, 0.0, 0.0, 0.0]])
    )
    assert foreground.tolist() == [
        [False, True, False, False],
        [True, True, False, False],
        [False, False, False, False],
    ]
    assert background.tolist()[1] == [False, False, True, False]


def test_best_pads_when_there_are_fewer_rows_than_asked():
    similarity = torch.tensor([[[0.1, 0.9]]])
    assert best(similarity, bias_of(torch.tensor([[[True, False]]])), 4).flatten().tolist() == pytest.approx(
        [0.1, -1, -1, -1]
    )


def test_identical_frames_correlate_best_at_no_shift_and_a_moved_frame_at_its_shift():
    grid, radius = (9, 12), 3
    field = F.normalize(torch.randn(1, 16, *grid, generator=torch.Generator().manual_seed(3)), dim=1)
    index, inside = window_index(grid, radius, torch.device("cpu"))
    flat = field.flatten(2).transpose(1, 2)
    side = 2 * radius + 1
    window = local_correlation(flat, flat, index, inside)
    assert (window.argmax(-1) == radius * side + radius).all()

    moved = torch.roll(field, (1, 2), (2, 3)).flatten(2).transpose(1, 2)  # now(p) = before(p - (1, 2))
    shifted = local_correlation(moved, flat, index, inside).argmax(-1).reshape(grid)[1:, 2:]
    assert (shifted == (radius - 1) * side + (radius - 2)).all()


def test_the_previous_mask_is_carried_along_with_the_motion():
    grid = (8, 8)
    field = F.normalize(torch.randn(1, 32, *grid, generator=torch.Generator().manual_seed(4)), dim=1)
    mask = torch.zeros(1, 1, *grid)
    mask[..., 2:4, 2:4] = 1
    index, inside = window_index(grid, 2, torch.device("cpu"))
    now = torch.roll(field, (1, 1), (2, 3)).flatten(2).transpose(1, 2)
    window = local_correlation(now, field.flatten(2).transpose(1, 2), index, inside)
    near = around(mask.flatten(2), index)
    moved = carried(window, near).reshape(grid)
    expected = torch.roll(mask, (1, 1), (2, 3))[0, 0]
    assert ((moved > 0.5).float() == expected)[1:, 1:].all()

    tops, volumes = local_tops(window, near).reshape(*grid, 8), local_volumes(window, near)
    assert (tops[..., 0] > 0.99)[expected > 0].all() and (tops[..., 0] < 0.99)[expected == 0].all()
    assert torch.allclose(volumes[..., :25].amax(-1).reshape(grid), tops[..., 0])
    assert torch.allclose(volumes[..., 25:].amax(-1).reshape(grid), tops[..., 4])
