"""The correlation module averages over what looks alike; the losses reward what SEAM wants."""

import pytest
import torch

from backends.weak_shot.seam import (
    CorrelationModule,
    SeamClassifier,
    hardest,
    scaled_up,
    seam_losses,
    smallest,
    winning,
)
from tests.unit.trunks.classifiers import trained


def test_only_the_largest_class_of_a_cell_wins():
    maps = torch.tensor([[[[4.0, 0.0, 1.0]], [[1.0, 3.0, 0.0]]]])
    found = winning(maps)
    assert found[0, :, 0].tolist() == [
        [pytest.approx(1, abs=1e-4), 0, pytest.approx(0.25, abs=1e-4)],
        [0, pytest.approx(1, abs=1e-4), 0],
    ]


def test_cells_that_look_alike_share_their_scores():
    torch.manual_seed(0)
    module = CorrelationModule((4, 6))
    rgb = torch.zeros(1, 3, 4, 4)
    rgb[:, 0, :, :2], rgb[:, 1, :, 2:] = 1, 1
    shallow, deep = torch.rand(1, 4, 1, 1).expand(1, 4, 4, 4), torch.rand(1, 6, 1, 1).expand(1, 6, 4, 4)
    with torch.no_grad():
        module.embed.weight.zero_()
        module.embed.weight[0, 0], module.embed.weight[1, 1] = 1, 1  # red and green only
        scores = torch.zeros(1, 2, 4, 4)
        scores[0, 0, 0, 0], scores[0, 1, 3, 3] = 1, 1
        found = module(scores, rgb, shallow, deep)
    assert torch.allclose(found[0, 0, :, :2], found[0, 0, 0, 0]) and found[0, 0, 0, 0] > 0
    assert found[0, 0, :, 2:].max() == 0 and found[0, 1, :, :2].max() == 0


def test_the_correlation_teaches_its_own_weights_only():
    network = SeamClassifier("mobilenet_v2", 3)
    network.looks(torch.rand(1, 3, 64, 64)).refined.sum().backward()
    assert network.correlation.embed.weight.grad is not None
    assert all(p.grad is None for p in (*network.trunk.parameters(), *network.head.parameters()))


def test_the_terms_are_zero_where_nothing_is_wrong():
    one = torch.zeros(1, 2, 4, 4)
    one[0, 0, :2], one[0, 1, 2:] = 1, 1
    assert hardest(winning(one), one).item() == pytest.approx(0, abs=1e-4)
    assert hardest(winning(one.flip(2)), one).item() > 0.9
    assert smallest(one * torch.tensor([1.0, 0.0])[:, None, None]) == 0
    assert smallest(torch.ones(1, 2, 4, 4)) == 1
    assert scaled_up(torch.tensor([[[[-3.0, 2.0, 4.0]]]])).flatten().tolist() == pytest.approx(
        [0, 0.5, 1], abs=1e-4
    )


def test_untagged_classes_are_left_out_of_the_consistency():
    torch.manual_seed(1)
    network = SeamClassifier("mobilenet_v2", 3).eval()
    rgb = torch.rand(2, 3, 96, 64)
    parts = seam_losses(network, rgb, torch.zeros(2, 3))
    assert parts["er"] == 0 and parts["ecr"] == 0 and parts["least"] == 0
    assert parts["loss"] == parts["tags"] > 0


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50", "resnet38"])
def test_every_trunk_has_the_two_depths(name):
    with torch.device("meta"):
        network = SeamClassifier(name, 4)
        rgb = torch.rand(1, 3, 64, 64)
        assert network(rgb).shape == (1, 4) and network.cam(rgb).shape[1] == 4


def test_a_few_steps_teach_the_tags():
    torch.manual_seed(2)
    network = SeamClassifier("mobilenet_v2", 2, dropout=0.0)
    trained(network.trunk, 2)  # features as large as a trained trunk's
    rgb, tags = torch.rand(2, 3, 96, 96), torch.tensor([[1, 0], [0, 1]])
    rgb[0, 0], rgb[1, 2] = 1, 1
    optimiser = torch.optim.Adam(network.parameters(), 3e-4)
    found = []
    for _ in range(10):
        parts = seam_losses(network, rgb, tags)
        optimiser.zero_grad()
        parts["loss"].backward()
        optimiser.step()
        found.append(parts["tags"].item())
    assert found[-1] < 0.8 * found[0]
