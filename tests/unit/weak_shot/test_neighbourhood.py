"""Which cells are joined, and the sparse matrix."""

from __future__ import annotations

import numpy as np
import pytest

from backends.core.errors import BadInput
from backends.weak_shot.neighbourhood import affinity_matrix, half_plane
from tests.unit.weak_shot.grids import dense_affinity, pairs_between, two_regions


def test_radius_five_joins_34_pairs_each_once() -> None:
    offsets = half_plane(5)
    assert len(offsets) == 34
    assert not set(offsets) & {(-dy, -dx) for dy, dx in offsets}
    whole = {*offsets, *((-dy, -dx) for dy, dx in offsets)}
    assert whole == {
        (y, x) for y in range(-6, 7) for x in range(-6, 7) if 0 < y * y + x * x < 25
    }  # the disc without its centre


@pytest.mark.parametrize("hw", [(9, 13), (13, 9), (3, 5), (5, 3), (1, 7), (7, 1), (2, 2), (1, 1)])
def test_matrix_is_the_dense_one(hw: tuple[int, int]) -> None:
    """On narrow grids several offsets share a diagonal, and some offsets have no pair at all."""
    pairs = pairs_between(two_regions(*hw))
    found = affinity_matrix(pairs, 5, 8.0).toarray()
    np.testing.assert_allclose(found, dense_affinity(pairs, 8), atol=1e-6)
    np.testing.assert_array_equal(found, found.T)


def test_margins_have_links_too() -> None:
    matrix = affinity_matrix(np.ones((34, 12, 12), np.float32), 5, 8.0)
    links = np.diff(matrix.indptr).reshape(12, 12)
    assert links[6, 6] == 68
    assert links.min() == links[0, 0] == 4 + 4 + 13  # a quarter of the disc: both axes and what lies between


@pytest.mark.parametrize(
    ("pairs", "part"),
    [
        (np.ones((33, 4, 4), np.float32), "radius 5 wants (34, height, width)"),
        (np.ones((34, 4), np.float32), "radius 5 wants"),
        (np.full((34, 4, 4), 1.5, np.float32), "leave the range from 0 to 1"),
        (np.full((34, 4, 4), np.nan, np.float32), "leave the range from 0 to 1"),
    ],
)
def test_unfit_affinities_are_refused(pairs: np.ndarray, part: str) -> None:
    with pytest.raises(BadInput, match=part.replace("(", r"\(").replace(")", r"\)")):
        affinity_matrix(pairs, 5, 8.0)
