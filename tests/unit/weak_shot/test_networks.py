"""Shapes at any size, what a pair means, and what the losses reward."""

import pytest
import torch
from torch.nn import functional as F

from backends.weak_shot import losses
from backends.weak_shot.losses import IGNORE, affinity_loss, boundary_loss, segmentation_loss, tag_loss
from backends.weak_shot.networks import (
    AffinityNetwork,
    BoundaryNetwork,
    Classifier,
    SegmentationNetwork,
    pair_affinities,
    pooled,
    resized,
)

OFFSETS = [
    (dy, dx) for dy in range(5) for dx in range(-4, 5) if 0 < dy * dy + dx * dx < 25 and (dy, dx) > (0, 0)
]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (40, 64), (33, 50)])
def test_networks_answer_images_of_any_size(height, width):
    rgb = torch.rand(2, 3, height, width)
    rows, columns = -(-height // 8), -(-width // 8)
    with torch.no_grad():
        assert Classifier("mobilenet_v2", 5)(rgb).shape == (2, 5)
        assert Classifier("mobilenet_v2", 5).cam(rgb).shape[:2] == (2, 5)
        assert BoundaryNetwork("mobilenet_v2")(rgb).shape == (2, 1, height, width)
        assert AffinityNetwork("mobilenet_v2")(rgb).shape[2:] == (rows, columns)
        assert SegmentationNetwork("mobilenet_v2", 5)(rgb).shape == (2, 6, height, width)


@pytest.mark.parametrize("name", ["resnet50", "resnet38"])
def test_every_trunk_carries_every_network(name):
    with torch.device("meta"):
        rgb = torch.rand(1, 3, 48, 64)
        assert Classifier(name, 3)(rgb).shape == (1, 3)
        assert BoundaryNetwork(name)(rgb).shape == (1, 1, 48, 64)
        assert AffinityNetwork(name)(rgb).shape[2:] == (6, 8)
        assert SegmentationNetwork(name, 3)(rgb).shape == (1, 4, 48, 64)


def test_the_shipped_sizes_fit_their_budget_in_half_precision():
    with torch.device("meta"):
        count = [
            sum(p.numel() for p in network.parameters())
            for network in (
                BoundaryNetwork("mobilenet_v2"),
                AffinityNetwork("mobilenet_v2"),
                Classifier("mobilenet_v2", 23),
                SegmentationNetwork("mobilenet_v2", 23),
            )
        ]
    assert 2 * sum(count[:2]) < 12e6 and 2 * sum(count) < 20e6


def test_the_activation_of_a_class_is_its_logit_before_pooling():
    classifier = Classifier("mobilenet_v2", 4).eval()
    rgb = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        activations = classifier.activations(rgb)
        assert torch.allclose(classifier(rgb), activations.mean((2, 3)), atol=1e-5)
        assert torch.equal(classifier.cam(rgb), activations.clamp(min=0))


def test_pooling_takes_the_share_that_answers_most():
    cells = torch.tensor([[[[4.0, 3.0], [2.0, -9.0]]]])
    assert pooled(cells, 0.5).item() == 3.5
    assert pooled(cells, 0.01).item() == 4.0, "one cell at least"
    assert pooled(cells).item() == 0.0


def test_maps_shrink_by_means_and_grow_bilinearly():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert resized(x, (2, 2)).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert torch.equal(resized(x, (8, 8)), F.interpolate(x, (8, 8), mode="bilinear", align_corners=False))
    assert resized(x, (4, 4)) is x


def test_affinities_name_the_pair_by_its_first_cell():
    features = torch.randn(1, 6, 5, 7, generator=torch.Generator().manual_seed(1))
    found = pair_affinities(features, OFFSETS)
    assert found.shape == (1, 34, 5, 7)
    for index, (dy, dx) in enumerate(OFFSETS):
        for y in range(5):
            for x in range(7):
                v, u = y + dy, x + dx
                expected = 0.0
                if v < 5 and 0 <= u < 7:
                    expected = float(torch.exp(-(features[0, :, y, x] - features[0, :, v, u]).abs().mean()))
                assert found[0, index, y, x].item() == pytest.approx(expected, abs=1e-6)


def test_a_grid_smaller_than_the_radius_has_no_far_pairs():
    found = pair_affinities(torch.zeros(1, 2, 1, 2), [(0, 1), (0, 4), (3, -1)])
    assert found[0, :, 0].tolist() == [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]


def test_the_affinity_loss_weighs_its_three_kinds_of_pairs():
    labels = torch.tensor([[[0, 0, 1, 1, 2, IGNORE, 2]]])
    features = torch.tensor([[[[0.0, 0.3, 1.0, 1.5, 3.0, 9.0, 3.0]]]])
    found = affinity_loss(features, labels, [(0, 1)])
    far = [-torch.log(1 - torch.exp(torch.tensor(-d))) for d in (0.7, 1.5)]
    expected = 0.25 * 0.3 + 0.25 * 0.5 + 0.5 * (far[0] + far[1]) / 2
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)


def test_ignored_labels_teach_nothing():
    features = torch.randn(1, 4, 6, 6, requires_grad=True)
    affinity_loss(features, torch.full((1, 6, 6), IGNORE), OFFSETS).backward()
    assert features.grad.abs().sum() == 0
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    segmentation_loss(logits, torch.full((1, 4, 4), IGNORE, dtype=torch.uint8)).backward()
    assert logits.grad.abs().sum() == 0
    nothing = boundary_loss(logits[:, :1], torch.full((1, 4, 4), IGNORE))
    assert nothing.item() == 0
    assert tag_loss(torch.tensor([[3.0, -2.0]]), torch.tensor([[1, IGNORE]])) == tag_loss(
        torch.tensor([[3.0]]), torch.tensor([[1]])
    )


def test_the_boundary_loss_averages_each_kind_by_itself():
    target = torch.tensor([[[losses.BOUNDARY, 0, 0, 0, losses.INSIDE_OBJECT, IGNORE]]])
    logits = torch.tensor([[[[2.0, -1.0, -1.0, -1.0, 0.5, 7.0]]]])
    expected = F.softplus(torch.tensor(-2.0)) + 0.5 * F.softplus(torch.tensor(-1.0))
    expected = expected + 0.5 * F.softplus(torch.tensor(0.5))
    assert boundary_loss(logits, target).item() == pytest.approx(expected.item(), abs=1e-6)


def test_affinities_can_be_learned():
    """Two textures: after a few steps pairs across their border are less alike than pairs within."""
    torch.manual_seed(0)
    rgb = torch.rand(1, 3, 64, 64) * 0.3
    rgb[..., 32:] += 0.6
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[..., 4:] = 1
    network = AffinityNetwork("mobilenet_v2", width=16)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    before = None
    for _ in range(8):
        loss = affinity_loss(network(rgb), labels, OFFSETS)
        before = before or loss.item()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.7 * before
