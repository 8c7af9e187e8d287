"""Cells are shared out between an image's tags; base masks teach outright; competition can be learned."""

import numpy as np
import pytest
import torch
from torch import nn

from backends.weak_shot.losses import IGNORE
from backends.weak_shot.recipe import Budget
from backends.weak_shot.responses import responses
from backends.weak_shot.shares import (
    ShareClassifier,
    Sharing,
    held_at_most,
    share_losses,
    shared_out,
    with_known,
)
from backends.weak_shot.subjects import LOSSES
from backends.weak_shot.training import Batch, Training


def test_only_tags_and_background_get_a_share():
    logits = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(1))
    found = shared_out(logits, torch.tensor([[1, 0, 1], [0, 0, 0]]))
    assert torch.allclose(found.sum(1), torch.ones(2, 5, 6), atol=1e-5)
    assert found[0, 2].max() == 0 and found[0, 1].min() > 0
    assert torch.allclose(found[1, 0], torch.ones(5, 6)), "without a tag all is background"


def test_a_tag_that_is_drowned_is_lifted_to_its_least_share():
    logits = torch.zeros(1, 3, 10, 10)
    logits[0, 0], logits[0, 1] = 4.0, 1.0
    logits[0, 2, :2, :2] = 1.0
    how = Sharing(tag=0.04, background=0.5, rounds=20)
    before, after = torch.softmax(logits, 1), shared_out(logits, torch.ones(1, 2), how)
    assert before[0, 2].mean() < 0.04
    assert after[0, 2].mean().item() == pytest.approx(0.04, abs=0.01)
    assert after[0, 2, 0, 0] > after[0, 2, 5, 5], "where it answers most"


def test_shares_that_are_large_enough_stay():
    logits = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    how = Sharing(tag=0.01, background=0.01)
    assert torch.allclose(shared_out(logits, torch.ones(1, 2), how), torch.softmax(logits, 1), atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (40, 64)])
def test_it_answers_as_a_classifier_does(size):
    network = ShareClassifier("mobilenet_v2", 5).eval()
    rgb = torch.rand(2, 3, *size)
    with torch.no_grad():
        assert network(rgb).shape == (2, 5)
        cam = network.cam(rgb)
    assert cam.shape[:2] == (2, 5) and cam.min() > 0 and torch.isfinite(cam).all()
    found = responses(network, np.full((*size, 3), 80, np.uint8), [2, 5], scales=(1.0,))
    assert found.shape[0] == 2 and found.min() >= 0 and found.max() <= 1


def test_odds_are_read_as_the_shares_they_came_from():
    network = ShareClassifier("mobilenet_v2", 2)
    logits = torch.randn(1, 3, 6, 6, generator=torch.Generator().manual_seed(3))
    odds = (logits[0, 1:] - logits[0, :1]).exp()
    expected = shared_out(logits, torch.ones(1, 2), Sharing(background=0.7))[0, 1:]
    assert torch.allclose(network.read(odds), expected, atol=1e-5)


def test_a_tag_is_judged_by_its_best_cells():
    shares = torch.zeros(1, 2, 2, 2)
    shares[0, 1] = torch.tensor([[0.9, 0.5], [0.0, 0.0]])
    assert held_at_most(shares, 0.5).item() == pytest.approx(0.7)


def scene():
    """Two photos: red left and blue right with both tags, red alone; what is grey is background."""
    rgb = torch.full((3, 3, 96, 96), 0.5)
    rgb[0, :, 32:64, 16:48] = torch.tensor([1.0, 0.1, 0.1])[:, None, None]
    rgb[0, :, 32:64, 48:80] = torch.tensor([0.1, 0.1, 1.0])[:, None, None]
    rgb[1, :, 32:64, 32:64] = torch.tensor([1.0, 0.1, 0.1])[:, None, None]
    rgb[2, :, 32:64, 32:64] = torch.tensor([0.1, 0.1, 1.0])[:, None, None]
    return rgb, torch.tensor([[1, 1], [1, 0], [0, 1]])


class Colours(ShareClassifier):
    """The colour of each cell in place of a trunk's features."""

    def __init__(self):
        super().__init__("mobilenet_v2", 2)
        self.colours = nn.Conv2d(3, 3, 1)

    def logits(self, rgb):
        return self.colours(nn.functional.avg_pool2d(rgb, 16) * 4 - 2)


def taught(labels, steps=80):
    torch.manual_seed(4)
    network = Colours()
    rgb, tags = scene()
    optimiser = torch.optim.Adam(network.colours.parameters(), 0.05)
    for _ in range(steps):
        parts = share_losses(network, rgb, tags, labels, Sharing(tag=0.08, background=0.5, settling=20))
        optimiser.zero_grad()
        parts["loss"].backward()
        optimiser.step()
    return network, parts


def test_photos_with_one_tag_tell_what_is_which_in_photos_with_two():
    network, parts = taught(torch.full((3, 96, 96), IGNORE))
    assert parts["known"] == 0 and parts["shares"] > 0
    with torch.no_grad():
        odds = network.cam(scene()[0])[0]
    red, blue = odds[:, 2:4, 1:3], odds[:, 2:4, 3:5]
    assert (red[0] > 2 * red[1]).all() and (blue[1] > 2 * blue[0]).all()
    assert (odds[:, :, 0] < 0.5).all(), "and grey is background"


def test_a_labelled_photo_teaches_by_its_labels_alone():
    labels = torch.zeros(3, 96, 96, dtype=torch.uint8)
    labels[0, 32:64, 16:48], labels[0, 32:64, 48:80] = 1, 2
    labels[1, 32:64, 32:64], labels[2, 32:64, 32:64] = 1, 2
    network, parts = taught(labels)
    assert parts["shares"] == 0 and parts["known"] < 0.3
    with torch.no_grad():
        found = network.logits(scene()[0]).argmax(1)
    assert torch.equal(found, labels[:, 8::16, 8::16].long())


class Said(ShareClassifier):
    """Says class 1 everywhere."""

    def __init__(self):
        super().__init__("mobilenet_v2", 2)
        self.said = nn.Parameter(torch.tensor([0.0, 3.0, 0.0])[None, :, None, None].repeat(1, 1, 2, 2))
        self.steps.fill_(10_000)

    def logits(self, rgb):
        return self.said


def test_an_object_that_is_shown_leaves_the_rest_to_the_other_tags():
    network, labels = Said(), torch.full((1, 2, 2), IGNORE, dtype=torch.uint8)
    labels[0, 0, 0] = 1  # painted there and nowhere else
    share_losses(network, torch.zeros(1, 3, 16, 16), torch.ones(1, 2), labels)["shares"].backward()
    push, open_cells = network.said.grad[0], labels[0] == IGNORE
    held = torch.softmax(network.said, 1)[0, 1, 1, 1]
    # of cross entropy: what is held less the share, which is none, over three open cells
    assert torch.allclose(push[1][open_cells], held / 3)
    assert (push[2][open_cells] < 0).all() and (push[0][open_cells] < 0).all(), "the others are lifted"
    assert (push[:, 0, 0] == 0).all(), "what is painted is taught by its label alone"


def test_known_cells_are_certain_and_their_class_gets_no_other():
    logits = torch.randn(1, 4, 3, 3, generator=torch.Generator().manual_seed(6))
    cells = torch.full((1, 3, 3), float(IGNORE))
    cells[0, 0, 0] = 2
    found = shared_out(with_known(logits, cells), torch.ones(1, 3))
    assert torch.equal(found[0, :, 0, 0], torch.tensor([0.0, 0.0, 1.0, 0.0]))
    assert found[0, 2].sum() == 1
    assert torch.allclose(found.sum(1), torch.ones(1, 3, 3), atol=1e-5)
    nothing = torch.full((1, 3, 3), float(IGNORE))
    assert torch.equal(with_known(logits, nothing), logits)


def test_steps_are_counted_in_what_is_saved():
    network, _ = taught(torch.full((3, 96, 96), IGNORE), steps=3)
    assert network.state_dict()["steps"] == 3


def test_a_stage_with_a_resting_trunk_teaches_the_head_alone():
    network = ShareClassifier("mobilenet_v2", 2, width=16)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    training = Training(network, LOSSES["shares"], Budget(steps=2, trunk_rate=0.0), seed=0, amp=True)
    rgb, tags = scene()
    labels = torch.full((3, 96, 96), IGNORE, dtype=torch.uint8)
    figures = [training.advance(Batch(rgb, labels, tags.float())) for _ in range(2)]
    assert all(np.isfinite(list(step.values())).all() for step in figures)
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert "head.weight" in changed and not [k for k in changed if k.startswith("trunk.")]
