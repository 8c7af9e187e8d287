"""A ResNet dilated to stride 8 holds, cell by cell, what the strided one says."""

import pytest
import torch

from backends.trunks.catalogue import build
from backends.trunks.phased import PhasedConv2d
from backends.trunks.resnet import _Basic, _Bottleneck
from backends.trunks.resnet_whole import WholeResNet
from tests.unit.trunks.test_deep_trunks import lively


@pytest.mark.parametrize("block", [_Basic, _Bottleneck])
def test_the_dilated_trunk_holds_the_strided_one(block):
    strided, dilated = (WholeResNet(block, (1, 1, 2, 2), last).eval() for last in (32, 8))
    dilated.load_state_dict(lively(strided, 1).state_dict())
    rgb = torch.rand(1, 3, 352, 320, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for every, (wanted, found) in enumerate(
            zip(strided.pyramid(rgb)[1:], dilated.pyramid(rgb)[1:], strict=True)
        ):
            step, edge = 2**every, 3
            inside = wanted[..., edge:-edge, edge:-edge]
            same = found[..., ::step, ::step][..., edge:-edge, edge:-edge]
            assert inside.std() > 0.1
            assert torch.allclose(same, inside, atol=1e-3 * float(inside.abs().max()))


@pytest.mark.parametrize("name", ["resnet18_stride8", "resnet34_stride32", "resnet101_stride8"])
def test_forward_gives_the_deepest_map_of_each_stride(name):
    with torch.device("meta"):
        trunk = build(name, (4, 8))
        maps = trunk.pyramid(torch.rand(1, 3, 64, 64))
        found = trunk(torch.rand(1, 3, 64, 64))
    last = {stride: tuple(x.shape) for (stride, _), x in zip(trunk.stages, maps, strict=True)}
    assert {stride: tuple(x.shape) for stride, x in found.items()} == last


@pytest.mark.parametrize("size_hw", [(10, 12), (9, 7)])
def test_phases_are_a_dilated_convolution_with_its_gradients(size_hw):
    torch.manual_seed(0)
    phased = PhasedConv2d(6, 6, 3, 1, 2, 2, 6).double()
    x = torch.randn(2, 6, *size_hw, dtype=torch.float64)
    results = []
    for training in (True, False):  # without training it is torch's own convolution
        phased.train(training)
        seen = x.clone().requires_grad_()
        y = phased(seen)
        phased.zero_grad()
        (y * torch.arange(y.numel(), dtype=y.dtype).reshape(y.shape)).sum().backward()
        results.append((y, seen.grad, phased.weight.grad.clone(), phased.bias.grad.clone()))
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other)
