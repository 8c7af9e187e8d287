"""Rank correlation, bins and what a low confidence finds."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from backends.core.errors import BadInput
from pipelines.studies.reliability import average_ranks, bins, calibration_error, found_bad, spearman


def test_equal_values_share_their_rank() -> None:
    assert average_ranks([0.3, 0.1, 0.3, 0.9]).tolist() == [2.5, 1.0, 2.5, 4.0]


@pytest.mark.parametrize("levels", [3, 10, 1000])
def test_spearman_is_scipys_with_and_without_ties(levels: int) -> None:
    rng = np.random.default_rng(levels)
    one = rng.integers(0, levels, 200) / levels
    other = np.round(one + rng.normal(0, 0.4, 200), 1)
    assert spearman(one, other) == pytest.approx(scipy.stats.spearmanr(one, other).statistic)


def test_spearman_sees_order_only_and_its_edges() -> None:
    rising = [0.1, 0.2, 0.5, 0.9]
    assert spearman(rising, [x**7 for x in rising]) == pytest.approx(1)
    assert spearman(rising, [-x for x in rising]) == pytest.approx(-1)
    assert spearman(rising, [1.0] * 4) is None
    with pytest.raises(BadInput, match="two or more pairs"):
        spearman([1.0], [1.0])


def test_bins_hold_every_pair_once_and_keep_equal_confidences_together() -> None:
    sure = [1.0] * 50 + list(np.linspace(0, 0.9, 50))
    found = bins(sure, sure)
    assert sum(one.count for one in found) == 100
    assert found[-1].count >= 50 and found[-1].confidence > 0.9
    assert [one.confidence for one in found] == sorted(one.confidence for one in found)
    assert calibration_error(found) == pytest.approx(0, abs=1e-12)
    assert [one.count for one in bins([0.5] * 7, [0.1] * 7)] == [7]


def test_calibration_error_is_the_distance_of_confidence_and_j() -> None:
    sure = list(np.linspace(0.5, 1, 40))
    assert calibration_error(bins(sure, [x - 0.3 for x in sure])) == pytest.approx(0.3)


def test_the_least_sure_fifth_finds_the_bad_ones_where_confidence_is_right() -> None:
    j = [0.1, 0.2] + [0.9] * 8
    assert found_bad(j, j, bad=0.5, share=0.2) == 1
    assert found_bad([-x for x in j], j, bad=0.5, share=0.2) == 0
    assert found_bad(j, [0.9] * 10, bad=0.5, share=0.2) is None
