"""Trunks with their last layers dilated say, cell by cell, what the strided networks say."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from backends.core.errors import BadInput
from backends.trunks import catalogue
from backends.trunks.catalogue import build, load_weights
from backends.trunks.download import fetch_trunk
from backends.trunks.resnet38 import ResNet38
from tests.unit.trunks.classifiers import trained


@pytest.mark.parametrize("name", catalogue.TRUNKS)
def test_stages_are_as_told(name):
    with torch.device("meta"):
        trunk = build(name, (4, 8))
        found = trunk.pyramid(torch.rand(1, 3, 64, 96))
    assert [tuple(x.shape) for x in found] == [(1, c, 64 // s, 96 // s) for s, c in trunk.stages]
    assert tuple(trunk.channels[s] for s in (4, 8)) == tuple(x.shape[1] for x in trunk_maps(trunk)[:2])


def trunk_maps(trunk):
    with torch.device("meta"):
        return list(trunk(torch.rand(1, 3, 32, 32)).values())


def lively(trunk, seed):
    """Convolutions with the gain of a trained network, so that no map dies away or grows."""
    trained(trunk, seed)
    for part in trunk.modules():
        if isinstance(part, nn.Conv2d) and part.bias is not None:
            part.bias.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(seed))
    return trunk


def strided_tail(trunk, x):
    """The layers beyond stride 16 as MobileNetV2 has them, with TensorFlow's SAME padding: stride 32."""
    for layer, stride in zip(trunk.features[14:18], (2, 1, 1, 1), strict=True):
        (_, expand, _), (_, depthwise, _), project = layer.conv
        y = F.relu6(expand(x))
        padded = F.pad(y, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
        y = F.relu6(F.conv2d(padded, depthwise.weight, depthwise.bias, stride, 0, 1, y.shape[1]))
        y = project(y)
        x = x + y if layer.residual else y
    return x


@pytest.mark.parametrize("seed", [1, 4])
def test_the_dilated_blocks_hold_the_strided_mobilenet(seed):
    trunk = lively(build("mobilenet_v2_blocks"), seed)
    rgb = torch.rand(1, 3, 512, 480, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        *_, before, deep = trunk.pyramid(rgb)
        expected = strided_tail(trunk, before)[..., 4:-4, 4:-4]
    found = deep[..., 1::2, 1::2][..., 4:-4, 4:-4]
    assert expected.std() > 0.1
    assert torch.allclose(found, expected, atol=1e-3 * float(expected.abs().max()))
    unshifted = deep[..., ::2, ::2][..., 4:-4, 4:-4]
    assert not torch.allclose(unshifted, expected, atol=0.05 * float(expected.abs().max()))


def test_the_dilated_stage_holds_the_strided_resnet():
    trunk = lively(build("resnet50_deep"), 3)
    rgb = torch.rand(1, 3, 416, 384, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        *_, x, deep = trunk.pyramid(rgb)
        for index, block in enumerate(trunk.layer4):
            stride = 1 if index else 2
            y = F.relu(block.conv1(x))
            y = F.relu(F.conv2d(y, block.conv2.weight, block.conv2.bias, stride, 1))
            shortcut = x if index else block.downsample(x)[..., ::2, ::2]
            x = F.relu(block.conv3(y) + shortcut)
    found, expected = deep[..., ::2, ::2][..., 4:-4, 4:-4], x[..., 4:-4, 4:-4]
    assert expected.std() > 0.1
    assert torch.allclose(found, expected, atol=1e-3 * float(expected.abs().max()))


def test_one_file_of_imagenet_weights_fits_all_depths(tmp_path):
    deep = lively(build("mobilenet_v2_deep"), 2)
    state = {}
    for name, conv in deep.named_modules():
        if isinstance(conv, nn.Conv2d):
            state[f"{name}.weight"] = conv.weight.data
            norm = name.rpartition(".")[0] + f".{int(name.rpartition('.')[2]) + 1}n"
            state |= {f"{norm}.{k}": torch.ones(len(conv.weight)) for k in ("weight", "running_var")}
            state |= {f"{norm}.bias": conv.bias.data, f"{norm}.running_mean": torch.zeros(len(conv.weight))}
    save_file(state, tmp_path / "all.safetensors")
    rgb = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    for name in ("mobilenet_v2", "mobilenet_v2_blocks", "mobilenet_v2_deep"):
        trunk = build(name)
        load_weights(trunk, name, tmp_path / "all.safetensors")
        with torch.no_grad():
            expected, found = deep(rgb), trunk(rgb)
        assert torch.allclose(found[8], expected[8], rtol=1e-3, atol=1e-3), name
    assert torch.allclose(found[16], expected[16], rtol=1e-3, atol=1e-2)


def test_the_wide_resnet_is_of_the_class_of_a_hundred_million():
    with torch.device("meta"):
        trunk = ResNet38()
    assert 100e6 < sum(p.numel() for p in trunk.parameters()) < 110e6


class Norm(nn.Module):
    """A batch normalisation as a checkpoint holds it, computed step by step."""

    def __init__(self, state, name):
        super().__init__()
        self.parts = [state[f"{name}.{k}"] for k in ("weight", "bias", "running_mean", "running_var")]

    def forward(self, x):
        weight, bias, mean, var = self.parts
        return F.batch_norm(x, mean, var, weight, bias, training=False)


def psa_state(trunk):
    """A checkpoint in PSA's key names with random numbers, for the shapes of ``trunk``."""
    generator = torch.Generator().manual_seed(8)
    state = {}
    for name, module in trunk.named_modules():
        if isinstance(module, nn.Conv2d):
            fan = module.weight[0].numel()
            state[f"{name}.weight"] = torch.randn(module.weight.shape, generator=generator) / fan**0.5
        elif "bn" in name.rpartition(".")[2]:
            size = module.scale.shape
            for key, low in (("weight", 0.5), ("running_var", 0.5), ("bias", -0.5), ("running_mean", -0.5)):
                state[f"{name}.{key}"] = torch.rand(size, generator=generator) + low
    return state


def test_a_checkpoint_in_the_papers_names_is_taken_over():
    trunk = ResNet38().eval()
    state = psa_state(trunk)
    with pytest.raises(KeyError, match=r"b4_2\.bn_branch2a"):
        trunk.load_torchvision({k: v for k, v in state.items() if not k.startswith("b4_2.bn_branch2a")})
    trunk.load_torchvision(state | {"fc8.weight": torch.zeros(20, 4096, 1, 1)})
    x = torch.rand(1, 64, 12, 12, generator=torch.Generator().manual_seed(1))
    active = F.relu(Norm(state, "b2.bn_branch2a")(x))
    y = F.conv2d(active, state["b2.conv_branch2a.weight"], stride=2, padding=1)
    y = F.conv2d(F.relu(Norm(state, "b2.bn_branch2b1")(y)), state["b2.conv_branch2b1.weight"], padding=1)
    expected = y + F.conv2d(active, state["b2.conv_branch1.weight"], stride=2)
    with torch.no_grad():
        found, seen = trunk.b2(x)
    assert torch.allclose(found, expected, atol=1e-4) and torch.allclose(seen, active, atol=1e-5)
    assert not [name for name in trunk.state_dict() if "running" in name]


def test_networks_that_want_stride_16_refuse_the_dense_trunk_before_building_it():
    with pytest.raises(BadInput, match=r"resnet38 has features at strides \(4, 8\).*take mobilenet_v2"):
        build("resnet38")


def test_an_unpublished_trunk_asks_for_a_file(tmp_path):
    with pytest.raises(BadInput, match=r"no weights of resnet38 .*--trunk FILE"):
        fetch_trunk("resnet38", tmp_path)
