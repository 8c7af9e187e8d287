"""The confusion matrix against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from backends.core.confusion import Confusion
from backends.core.errors import BadMask


def maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    truth = draw.choice([0, 1, 2, 255], size=(31, 17)).astype(np.uint8)
    return truth, draw.integers(0, 3, size=(31, 17)).astype(np.uint8)


def test_iou_is_that_of_all_pictures_put_together() -> None:
    matrix = Confusion(3)
    pictures = [maps(seed) for seed in range(4)]
    for truth, found in pictures:
        matrix.add(truth, found)
    truth = np.concatenate([t.ravel() for t, _ in pictures])
    found = np.concatenate([f.ravel() for _, f in pictures])[truth != 255]
    truth = truth[truth != 255]
    by_hand = [np.sum((truth == k) & (found == k)) / np.sum((truth == k) | (found == k)) for k in range(3)]
    assert matrix.iou() == pytest.approx(by_hand)
    assert matrix.miou() == pytest.approx(np.mean(by_hand))
    assert matrix.pixel_accuracy() == pytest.approx(np.mean(truth == found))
    per_picture = np.mean([_miou_of(t, f) for t, f in pictures])
    assert abs(matrix.miou() - per_picture) > 1e-6  # not the mean of per-picture scores


def _miou_of(truth: np.ndarray, found: np.ndarray) -> float:
    matrix = Confusion(3)
    matrix.add(truth, found)
    return matrix.miou()


def test_absent_class_has_no_iou_and_a_false_alarm_has_zero() -> None:
    matrix = Confusion(4)
    matrix.add(np.array([[0, 0, 1]]), np.array([[0, 2, 1]]))
    assert matrix.iou() == pytest.approx([0.5, 1.0, 0.0, np.nan], nan_ok=True)
    assert matrix.miou() == pytest.approx(0.5)


def test_nothing_counted() -> None:
    matrix = Confusion(2)
    matrix.add(np.full((3, 3), 255), np.zeros((3, 3), int))
    assert np.isnan(matrix.miou()) and np.isnan(matrix.pixel_accuracy())


def test_merged_matrices_are_one() -> None:
    one, two, both = Confusion(3), Confusion(3), Confusion(3)
    for seed, part in ((1, one), (2, two)):
        part.add(*maps(seed))
        both.add(*maps(seed))
    one.merge(two)
    assert np.array_equal(one.counts, both.counts)
    with pytest.raises(ValueError, match="2 classes"):
        one.merge(Confusion(2))


@pytest.mark.parametrize(
    ("truth", "found", "says"),
    [
        ([[0, 1]], [[0]], "different size"),
        ([[0, 3]], [[0, 0]], "class 3 in the truth"),
        ([[0, 1]], [[0, 255]], "class 255 in the prediction"),
        ([[0, -1]], [[0, 0]], "class -1 in the truth"),
    ],
)
def test_what_cannot_be_counted_is_refused(truth: list[list[int]], found: list[list[int]], says: str) -> None:
    matrix = Confusion(3)
    with pytest.raises(BadMask, match=says):
        matrix.add(np.array(truth), np.array(found))
    assert not matrix.counts.any()


def test_ignored_pixels_may_hold_any_prediction() -> None:
    matrix = Confusion(2)
    matrix.add(np.array([[255, 1]]), np.array([[255, 1]]))
    assert matrix.counts.sum() == 1


def test_ignore_cannot_be_a_class() -> None:
    with pytest.raises(ValueError, match="ignore"):
        Confusion(256)
