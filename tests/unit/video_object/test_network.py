"""The network's switches, and that objects share what depends on the frame alone."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from backends.video_object import centres
from backends.video_object.network import Network, NetworkConfig
from backends.video_object.template import condense

SIZE, GRID = (128, 160), (8, 10)


def scene(network: Network, slots: int):
    torch.manual_seed(1)
    now, before = network.encode(torch.rand(1, 3, *SIZE)), network.encode(torch.rand(1, 3, *SIZE))
    cells = torch.zeros(1, slots, GRID[0] * GRID[1])
    for k in range(slots):
        cells[0, k, 11 + 3 * k : 13 + 3 * k] = 1
    rows, masks = condense(before.embedded, cells, GRID)
    previous = cells.reshape(1, slots, *GRID).repeat_interleave(4, 2).repeat_interleave(4, 3)
    return now, network.template(rows, masks), before, previous, centres.prior_of(previous, 4)


@pytest.mark.parametrize(
    ("lc", "co", "svb"),
    list(itertools.product(("off", "top4", "full"), ("off", "aux", "fuse"), ("eigh", "off"))),
)
@torch.inference_mode()
def test_every_combination_of_switches_gives_logits(lc, co, svb):
    network = Network(NetworkConfig(embedding=24, lc=lc, co=co, svb=svb, lc_radius=2, width=16)).eval()
    decoded = network.decode(*scene(network, 2))
    assert decoded.logits.shape == (1, 2, 32, 40) and torch.isfinite(decoded.logits).all()
    assert (decoded.vote is None) == (co == "off") and (decoded.steady is None) == (lc == "off")
    assert decoded.familiar.shape == (1, 2, 80)


@torch.inference_mode()
def test_fused_centres_change_the_masks_and_auxiliary_ones_do_not():
    for co, changes in (("fuse", True), ("aux", False)):
        network = Network(NetworkConfig(embedding=24, co=co, width=16)).eval()
        now, template, before, previous, prior = scene(network, 1)
        with_prior = network.decode(now, template, before, previous, prior).logits
        without = network.decode(now, template, before, previous).logits
        assert torch.equal(with_prior, without) != changes


@torch.inference_mode()
def test_objects_decoded_together_are_what_they_are_alone():
    network = Network(NetworkConfig(embedding=24, width=16)).eval()
    now, template, before, previous, prior = scene(network, 3)
    together = network.decode(now, template, before, previous, prior)
    for k in range(3):
        own = centres.Prior(
            prior.centre[:, k : k + 1], prior.spread[:, k : k + 1], prior.weight[:, k : k + 1]
        )
        alone = network.decode(now, template.of_slots([k]), before, previous[:, k : k + 1], own)
        assert torch.allclose(together.logits[:, k], alone.logits[:, 0], atol=1e-4)


@torch.inference_mode()
def test_the_same_frame_is_steady_and_another_is_not():
    network = Network(NetworkConfig(embedding=24, width=16)).eval()
    now, template, before, previous, prior = scene(network, 1)
    # untrained features are all alike: put unlike ones in their place
    now, before = (
        replace(e, embedded=F.normalize(torch.randn(e.embedded.shape), dim=-1)) for e in (now, before)
    )
    same = network.decode(before, template, before, previous, prior)
    other = network.decode(now, template, before, previous, prior)
    assert float(same.steady[0]) > 0.99 > float(other.steady[0])
