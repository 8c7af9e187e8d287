"""Shares with a prior of what an object is: it comes from base masks alone and leans the background."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from backends.weak_shot.losses import IGNORE
from backends.weak_shot.object_shares import ObjectShareClassifier, object_share_losses


class Grey(ObjectShareClassifier):
    """The colour of each cell in place of a trunk's features, so that learning takes a second."""

    def __init__(self) -> None:
        super().__init__("mobilenet_v2", 2, width=16, dropout=0.0)
        self.hidden, self.object_hidden = nn.Conv2d(3, 16, 1), nn.Conv2d(3, 8, 1)

    def features(self, rgb: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(rgb, 16) * 4 - 2


def photos() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A bright thing on dark ground with its mask (class 1), and another one known by its tag (class 2)."""
    rgb = torch.full((2, 3, 96, 96), 0.2)
    rgb[0, :, 32:64, 16:48] = 0.9
    rgb[1, :, 16:48, 48:80] = 0.9
    labels = torch.full((2, 96, 96), IGNORE, dtype=torch.uint8)
    labels[0] = 0
    labels[0, 32:64, 16:48] = 1
    return rgb, torch.tensor([[1, 0], [0, 1]]), labels


def taught(steps: int = 120) -> Grey:
    torch.manual_seed(3)
    network = Grey()
    optimiser = torch.optim.Adam([p for n, p in network.named_parameters() if "trunk" not in n], 0.03)
    for _ in range(steps):
        loss = object_share_losses(network, *photos())["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network


def test_what_base_masks_taught_finds_the_object_of_a_class_known_by_its_tag() -> None:
    network = taught()
    with torch.no_grad():
        objects, odds = network.object_logits(photos()[0])[1, 0], network.cam(photos()[0])[1, 1]
    there = torch.zeros(6, 6, dtype=torch.bool)
    there[1:3, 3:5] = True
    assert (objects[there] > 1).all() and (objects[~there] < -1).all()
    assert odds[there].min() > 10 * odds[~there].max()


def test_tags_do_not_teach_the_prior() -> None:
    network = Grey()
    rgb, tags, labels = photos()
    parts = object_share_losses(network, rgb[1:], tags[1:], labels[1:])
    parts["loss"].backward()
    assert parts["objects"] == 0
    assert not network.object_head.weight.grad.any() and network.head.weight.grad.any()


def test_the_prior_lowers_the_background_by_its_own_logit_and_no_further() -> None:
    network = Grey().eval()
    rgb = photos()[0]
    with torch.no_grad():
        plain = network.classes_of(network.features(rgb))
        nn.init.zeros_(network.object_head.weight)
        nn.init.constant_(network.object_head.bias, 9.0)
        leaned = network.logits(rgb)
    assert leaned[:, 1:] == pytest.approx(plain[:, 1:])
    assert (plain - leaned)[:, 0] == pytest.approx(torch.full((2, 6, 6), 4.0), abs=1e-5)
