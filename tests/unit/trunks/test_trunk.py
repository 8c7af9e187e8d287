"""The trunk's shapes, and that folded batch normalisation computes what the unfolded one does."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from backends.core.errors import BadInput
from backends.trunks.mobilenet_v2 import CHANNELS, MobileNetV2
from backends.video_object.recipe import TrainingConfig
from backends.video_object.training import Training


def unfolded(seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict in torchvision's key names: each convolution without bias, then its normalisation."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for index, conv in enumerate(m for m in MobileNetV2().modules() if isinstance(m, nn.Conv2d)):
        width = conv.out_channels
        state[f"features.{index}.0.weight"] = torch.randn(conv.weight.shape, generator=generator) * 0.3
        state[f"features.{index}.1.weight"] = torch.rand(width, generator=generator) + 0.5
        state[f"features.{index}.1.bias"] = torch.randn(width, generator=generator) * 0.1
        state[f"features.{index}.1.running_mean"] = torch.randn(width, generator=generator) * 0.1
        state[f"features.{index}.1.running_var"] = torch.rand(width, generator=generator) + 0.5
    return state


def test_features_come_at_three_strides():
    found = MobileNetV2()(torch.rand(2, 3, 64, 96))
    shapes = {stride: tuple(value.shape) for stride, value in found.items()}
    assert shapes == {s: (2, c, 64 // s, 96 // s) for s, c in CHANNELS.items()}


def test_folding_keeps_the_first_layers_output():
    state, trunk = unfolded(), MobileNetV2()
    trunk.load_torchvision(state)
    rgb = torch.rand(1, 3, 32, 32)
    norm = [state[f"features.0.1.{n}"] for n in ("running_mean", "running_var", "weight", "bias")]
    plain = F.conv2d(F.pad(rgb * 2 - 1, (0, 1, 0, 1)), state["features.0.0.weight"], stride=2)
    expected = F.batch_norm(plain, *norm).clamp(0, 6)
    assert torch.allclose(trunk.features[0](rgb * 2 - 1), expected, atol=1e-5)


@pytest.mark.parametrize("damage", ["missing", "wrong shape", "no norm"])
def test_another_networks_weights_are_refused_by_file(tmp_path, damage):
    state = unfolded()
    if damage == "missing":
        state = {k: v for k, v in state.items() if int(k.split(".")[1]) < 10}
    elif damage == "wrong shape":
        state["features.3.0.weight"] = torch.zeros(1, 2, 3, 3)
    else:
        del state["features.5.1.running_mean"]
    save_file(state, tmp_path / "trunk.safetensors")
    with pytest.raises(BadInput, match=r"trunk\.safetensors does not fit mobilenet_v2"):
        Training(TrainingConfig()).start_from_imagenet(tmp_path / "trunk.safetensors")
