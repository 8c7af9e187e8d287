"""The losses of label maps on numbers small enough to work out by hand."""

import math

import numpy as np
import pytest
import torch

from backends.video_semantic.losses import class_weights, hard_pixels, soft_jaccard, wandering


def of(rows):
    """Log probabilities (1, n, 1, W) of probabilities per pixel."""
    return torch.tensor(rows, dtype=torch.float64).T[None, :, None].log()


ONES = torch.ones(2, dtype=torch.float64)


def test_only_unsure_pixels_count():
    log_p = of([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    labels = torch.tensor([[[0, 0, 0]]])
    found = hard_pixels(log_p, labels, ONES, sure=0.7, least=0.01)
    assert float(found) == pytest.approx(-(math.log(0.6) + math.log(0.2)) / 2)


def test_the_hardest_share_counts_when_all_are_sure():
    log_p = of([[0.9, 0.1], [0.8, 0.2], [0.95, 0.05], [0.99, 0.01]])
    labels = torch.tensor([[[0, 0, 0, 0]]])
    found = hard_pixels(log_p, labels, ONES, sure=0.7, least=0.5)
    assert float(found) == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2)


def test_with_all_pixels_it_is_weighted_cross_entropy():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (2, 4, 5), generator=generator)
    labels[0, 0] = 255
    weights = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    wanted = torch.nn.functional.cross_entropy(logits, labels, weights, ignore_index=255)
    assert torch.allclose(hard_pixels(logits.log_softmax(1), labels, weights, least=1.0), wanted)


@pytest.mark.parametrize("loss", [lambda p, y: hard_pixels(p, y, ONES), soft_jaccard])
def test_nothing_to_count_is_nothing_to_learn(loss):
    log_p = of([[0.9, 0.1]]).requires_grad_()
    found = loss(log_p, torch.tensor([[[255]]]))
    found.backward()
    assert float(found.detach()) == 0.0 and log_p.grad is not None and not log_p.grad.any()


def test_soft_jaccard_by_hand():
    log_p = of([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]])
    labels = torch.tensor([[[0, 0, 255]]])
    # class 0: both 1.25, either 1.25 + 2 - 1.25; class 1 is not shown
    assert float(soft_jaccard(log_p, labels)) == pytest.approx(1 - 1.25 / 2)
    labels = torch.tensor([[[0, 1, 255]]])
    first, second = 0.75 / (1.25 + 1 - 0.75), 0.5 / (0.75 + 1 - 0.5)
    assert float(soft_jaccard(log_p, labels)) == pytest.approx(1 - (first + second) / 2)


def test_rare_classes_weigh_more_and_absent_ones_one():
    weights = class_weights(np.array([900, 100, 0]), 0.5)
    assert weights[1] / weights[0] == pytest.approx(3.0)
    assert 0.9 * weights[0] + 0.1 * weights[1] == pytest.approx(1.0)
    assert weights[2] == 1.0
    assert class_weights(np.array([900, 100]), 0.0).tolist() == [1.0, 1.0]
    assert class_weights(np.array([999_999, 1]), 1.0).max() == 5.0


def test_an_answer_carried_along_the_motion_has_not_wandered():
    generator = torch.Generator().manual_seed(2)
    wide = torch.rand(1, 5, 8, 14, generator=generator)
    then, now = wide[..., :12], wide[..., 2:]  # things moved two pixels to the left
    places = torch.stack(torch.meshgrid(torch.arange(12.0), torch.arange(8.0), indexing="xy"), -1)[None]
    before = places + torch.tensor((2.0, 0.0))
    assert float(wandering(now[:, :2], then[:, :2], now[:, 2:], then[:, 2:], before)) < 1e-6
    assert float(wandering(now[:, :2], then[:, :2], now[:, 2:], then[:, 2:], places)) > 0.01


def test_covered_pixels_hardly_count():
    now, then = torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
    places = torch.stack(torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="xy"), -1)[None]
    dark, bright = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    now[..., :2] = 1.0  # right where the picture stayed, wrong where it changed
    bright[..., :2] = 0.0
    assert float(wandering(now, then, dark, bright, places)) < 2 * 0.06
