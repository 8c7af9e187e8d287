"""Pixels to cells and back."""

from __future__ import annotations

import numpy as np
import pytest

from backends.weak_shot.grid import enlarged_to, labels_at, max_pooled, on_grid, with_background


def test_a_thin_boundary_stays_closed() -> None:
    probability = np.zeros((40, 41), np.float32)
    probability[:, 19] = 0.9
    pooled = max_pooled(probability, 8)
    assert pooled.shape == (5, 6)
    np.testing.assert_array_equal(pooled[:, 2], np.float32(0.9))
    assert pooled.sum() == pytest.approx(5 * 0.9)


@pytest.mark.parametrize("hw", [(1, 1), (1, 17), (9, 8), (64, 63)])
def test_every_pixel_is_in_one_cell(hw: tuple[int, int]) -> None:
    probability = np.random.default_rng(0).random(hw).astype(np.float32)
    pooled = max_pooled(probability, 8)
    assert pooled.shape == (-(-hw[0] // 8), -(-hw[1] // 8))
    for y in range(hw[0]):
        for x in range(hw[1]):
            assert pooled[y // 8, x // 8] >= probability[y, x]
    assert set(pooled.ravel().tolist()) <= set(probability.ravel().tolist())


def test_background_is_where_nothing_responds() -> None:
    responses = np.array([[[0.0, 1.0, 0.5]], [[0.0, 0.2, 0.25]]], np.float32)
    scores = with_background(responses, 2.0)
    np.testing.assert_allclose(scores[0], [[1.0, 0.0, 0.25]], atol=1e-7)
    np.testing.assert_array_equal(scores[1:], responses)
    np.testing.assert_array_equal(with_background(np.zeros((0, 2, 2), np.float32), 16.0), np.ones((1, 2, 2)))


def test_means_stay_when_the_grid_changes() -> None:
    maps = np.random.default_rng(1).random((2, 8, 12)).astype(np.float32)
    assert on_grid(maps, (4, 6)).mean() == pytest.approx(maps.mean(), abs=1e-6)
    np.testing.assert_allclose(on_grid(np.full((1, 3, 3), 0.4, np.float32), (7, 5)), 0.4, atol=1e-6)
    assert on_grid(np.zeros((0, 3, 3), np.float32), (7, 5)).shape == (0, 7, 5)


def test_a_cell_becomes_its_own_pixels() -> None:
    row = np.zeros((3, 4), np.float32)
    row[1, 2] = 1
    enlarged = enlarged_to(row, (20, 30), (20, 30), 8)
    assert enlarged.shape == (20, 30)
    y, x = np.unravel_index(enlarged.argmax(), enlarged.shape)
    assert 11 <= y <= 12 and 19 <= x <= 20
    assert enlarged[8:16, 16:24].min() > enlarged[:, :8].max()


def test_labels_come_at_the_images_size() -> None:
    scores = np.zeros((3, 4, 4), np.float32)
    scores[0] = 0.3
    scores[2, :2] = 1
    labels = labels_at(scores, (0, 5, 9), (30, 32), (61, 64), 8)
    assert labels.shape == (61, 64) and labels.dtype == np.uint8
    assert (labels[:28] == 9).all() and (labels[40:] == 0).all() and set(np.unique(labels)) == {0, 9}


def test_of_equals_the_first_row_wins() -> None:
    assert (labels_at(np.ones((2, 1, 1), np.float32), (0, 1), (1, 1), (1, 1), 8) == 0).all()
