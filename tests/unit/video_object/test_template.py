"""The template: small objects survive pooling, unsaid rows stay out, growing equals building at once."""

import pytest
import torch
from torch.nn import functional as F

from backends.video_object.template import Rows, coarse, condense

GRID = (9, 13)  # odd sides: the last cells are pooled alone
CELLS = GRID[0] * GRID[1]


def embedded(seed: int = 0, channels: int = 16) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(1, CELLS, channels, generator=generator), dim=-1)


def masks(*cells: int) -> torch.Tensor:
    shares = torch.zeros(1, 1, CELLS)
    shares[..., list(cells)] = 1.0
    return shares


def test_an_object_of_one_cell_keeps_its_own_row():
    rows, shares = condense(embedded(), masks(40), GRID)
    own = (shares[0, 0] == 1.0).nonzero()[:, 0]
    assert len(own) == 1 and torch.equal(rows[0, own[0]], embedded()[0, 40])
    pooled = 5 * 7
    assert rows.shape == (1, pooled + CELLS // 4, 16)
    assert torch.allclose(rows[0, :pooled].norm(dim=-1), torch.ones(pooled), atol=1e-5)


def test_padding_is_zero_and_says_nothing():
    rows, shares = condense(embedded(), masks(3, 4), GRID)
    empty = (rows[0] == 0).all(-1)
    assert int(empty.sum()) == CELLS // 4 - 2
    assert (shares[0, 0, empty] == -1).all()


def test_cells_of_a_large_object_are_taken_from_all_over_it():
    rows, shares = condense(embedded(), torch.ones(1, 1, CELLS), GRID)
    fine = rows[0, 5 * 7 :]
    where = (fine @ embedded()[0].T).argmax(-1)
    assert where.min() < CELLS // 8 and where.max() > CELLS * 7 // 8
    assert (shares == 1).all()


@pytest.mark.parametrize("method", ["eigh", "svd", "ns5", "off"])
def test_joining_mask_by_mask_equals_building_at_once(method):
    parts = [condense(embedded(i), masks(i, 50 + i), GRID) for i in range(3)]
    grown = Rows()
    for part in parts:
        grown = grown.join(*part)
    template = grown.template(method=method, eps=0.2, g=1.0)
    rows = torch.cat([p[0][:, p[1].amax(1)[0] >= 0] for p in parts], 1)
    assert torch.equal(template.rows, rows), "padding is left out where there is no batch"
    once = Rows().join(rows, torch.cat([p[1][:, :, p[1].amax(1)[0] >= 0] for p in parts], 2))
    again = once.template(method=method, eps=0.2, g=1.0)
    assert torch.allclose(template.isometric, again.isometric, atol=1e-4)


def test_objects_that_nobody_marked_on_a_frame_get_no_rows_from_it():
    first = coarse(embedded(0), torch.cat((masks(10, 11, 23, 24), -torch.ones(1, 1, CELLS)), 1), GRID, 2)
    other = coarse(embedded(1), torch.cat((-torch.ones(1, 1, CELLS), masks(60, 61, 73, 74)), 1), GRID, 2)
    template = Rows().join(*first).join(*other).template(method="eigh", eps=0.2, g=1.0)
    half = first[0].shape[1]
    assert (template.foreground[0, 0, half:] < 0).all() and (template.background[0, 0, half:] < 0).all()
    assert (template.foreground[0, 1, :half] < 0).all() and (template.background[0, 1, :half] < 0).all()
    alone = template.of_slots([1])
    assert torch.equal(alone.foreground[:, 0], template.foreground[:, 1])


def test_a_small_grid_is_not_pooled_below_the_number_of_channels():
    rows, shares = condense(embedded(channels=64), masks(40), GRID)
    assert torch.equal(rows, embedded(channels=64)) and torch.equal(shares, masks(40))
