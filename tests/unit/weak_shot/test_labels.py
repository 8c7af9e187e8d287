"""What networks are taught: bands along contours, nothing where nothing is known, no trace of novel masks."""

from __future__ import annotations

import numpy as np
import pytest

from backends.core.errors import BadMask
from backends.weak_shot import labels, losses
from backends.weak_shot.labels import CONTOUR, IGNORE, INSIDE, OUTSIDE


def square(size: int = 20, number: int = 3) -> labels.Labels:
    found = np.zeros((size, size), np.uint8)
    found[6:14, 6:14] = number
    return found


def test_targets_are_numbered_as_the_loss_reads_them() -> None:
    known = (losses.INSIDE_BACKGROUND, losses.INSIDE_OBJECT, losses.BOUNDARY, losses.IGNORE)
    assert known == (OUTSIDE, INSIDE, CONTOUR, IGNORE)


def test_a_band_lies_astride_the_contour() -> None:
    band = labels.contour_band(square(), 5)
    assert band[10].nonzero()[0].tolist() == [4, 5, 6, 7, 12, 13, 14, 15]
    assert not band[:, :4].any() and not band[10, 9]


def test_width_is_counted_and_must_be_odd() -> None:
    counts = [int(labels.contour_band(square(), width)[10].sum()) for width in (1, 3, 5)]
    assert counts == [0, 4, 8]
    with pytest.raises(BadMask, match="odd number"):
        labels.contour_band(square(), 4)


def test_the_edge_of_the_picture_and_of_the_known_are_no_contours() -> None:
    whole = np.full((12, 12), 5, np.uint8)
    assert not labels.contour_band(whole).any()
    whole[:, 6:] = IGNORE
    assert not labels.contour_band(whole).any()
    assert not labels.contour_band(np.full((8, 8), IGNORE, np.uint8)).any()


def test_a_void_seam_between_known_regions_is_a_contour() -> None:
    voc = np.zeros((9, 15), np.uint8)
    voc[:, 9:], voc[:, 6:9] = 2, IGNORE
    band = labels.contour_band(voc, 5)
    assert band[4].nonzero()[0].tolist() == [7]
    assert labels.contour_band(voc, 7)[4].nonzero()[0].tolist() == [6, 7, 8]


def test_a_boundary_target_tells_inside_from_outside_and_keeps_the_unknown() -> None:
    truth = square()
    truth[:3] = IGNORE
    target = labels.boundary_target(truth)
    assert target[10, 10] == INSIDE and target[18, 18] == OUTSIDE and target[10, 6] == CONTOUR
    assert (target[:3] == IGNORE).all() and set(np.unique(target)) == {OUTSIDE, INSIDE, CONTOUR, IGNORE}


def test_of_partly_known_photos_neither_background_nor_the_other_side_is_taught() -> None:
    truth = square()
    truth[14:18, 6:14] = IGNORE  # a novel object stands below
    target = labels.boundary_target_of_objects(truth)
    assert target[10, 10] == INSIDE and OUTSIDE not in target
    assert target[5, 10] == CONTOUR == target[14, 10], "an object's outline is a contour whatever lies beyond"
    assert (target[17] == IGNORE).all()
    moved = square()  # the same base object without the novel one: the target must not tell them apart
    assert np.array_equal(labels.boundary_target_of_objects(moved), target)


def test_labels_lie_over_each_other_and_boundaries_silence_seeds() -> None:
    upper = np.array([[255, 4], [0, 255]], np.uint8)
    lower = np.array([[1, 1], [255, 255]], np.uint8)
    assert labels.over(upper, lower).tolist() == [[1, 4], [0, 255]]
    assert labels.without_boundary(lower, upper == 4).tolist() == [[1, 255], [255, 255]]
    with pytest.raises(BadMask, match="2x2, 3x2"):
        labels.over(upper, np.zeros((2, 3), np.uint8))
