"""Windows in past frames, and what all of it costs: the figures of the paper."""

from __future__ import annotations

import pytest
import torch

from backends.core.errors import BadInput
from backends.video_semantic.complexity import Cost
from backends.video_semantic.keys import Radii, tile
from backends.video_semantic.temporal import TemporalConfig


@pytest.mark.parametrize(
    ("start", "end", "step", "n_keys"),
    [
        (1, 5, 1, 527),
        (2, 5, 1, 639),
        (3, 5, 1, 735),
        (1, 3, 1, 279),
        (1, 7, 1, 679),
        (1, 5, 2, 663),
        (1, 5, 3, 695),
    ],
)
def test_numbers_of_keys_are_those_of_the_paper(start: int, end: int, step: int, n_keys: int) -> None:
    assert Radii(7, start, end, step).n_keys == n_keys


def test_radii_grow_with_age() -> None:
    assert Radii().by_age == (1, 2, 3, 4, 5, 5, 5)


def test_windows_that_cannot_be_are_refused() -> None:
    for wrong in ({"frames": 0}, {"start": 6}, {"step": -1}, {"start": -1}):
        with pytest.raises(BadInput):
            Radii(**wrong)


def test_each_query_of_a_tile_has_its_own_window_and_each_key_its_own_bias() -> None:
    shared = tile(4, (1, 2), torch.device("cpu"))
    assert torch.bincount(shared.age).tolist() == [36, 64] and shared.n_keys == 100
    for query in range(16):
        rows = shared.bias_row[query][shared.inside[query]]
        assert sorted(rows.tolist()) == list(range(9 + 25))
    middle = shared.bias_row[5][(shared.dy == 1) & (shared.dx == 1)]  # query 5 stands at (1, 1)
    assert middle.tolist() == [4, 9 + 12]


@pytest.mark.parametrize(
    ("rows", "columns", "channels", "attention", "full", "total"),
    [
        (64, 128, 512, 0.55e9, 120e9, 2.4e9),
        (128, 256, 512, 2.2e9, 1924e9, 9.7e9),
        (64, 128, 2048, 2.2e9, 481e9, 31e9),
        (32, 64, 512, 0.14e9, 7.5e9, 0.6e9),
    ],
)
def test_costs_are_those_of_the_formulas(
    rows: int, columns: int, channels: int, attention: float, full: float, total: float
) -> None:
    cost = Cost(TemporalConfig(), channels, rows, columns)
    assert cost.attention == pytest.approx(attention, rel=0.02)
    assert cost.full_attention == pytest.approx(full, rel=0.01)
    assert cost.total - cost.correction == pytest.approx(total, rel=0.02)
    assert cost.correction < 0.2 * total, "the paper has no second way back to the features"


def test_sparse_is_as_much_cheaper_as_the_ratio_says() -> None:
    cost = Cost(TemporalConfig(), 512, 64, 128)
    assert cost.full_attention / cost.attention == pytest.approx(57344 / (0.5 * 527))
