"""Wide ResNet-38 at stride 8, the trunk of PSA and RETAB, with its normalisation frozen.

Sources: Wu et al., "Wider or Deeper: Revisiting the ResNet Model for Visual Recognition", 2016 (model A1);
Ahn and Kwak, "Learning Pixel-level Semantic Affinity with Image-level Supervision", CVPR 2018, which takes
the last strides out and dilates. Parameters carry the names of PSA's checkpoints (``b4_1.conv_branch2a``),
so that a user's own file of tensors fits. Blocks act before they convolve (normalise, ReLU, convolve), so a
norm has two readers and cannot be folded into one convolution; it stays as a fixed scale and shift.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.trunks.folding import EPS, IMAGENET_MEAN, IMAGENET_STD
from backends.trunks.interface import Trunk

# name, inputs, width of the first 3x3, outputs, stride, dilation of the first and of the second 3x3
_WIDE = (
    ("b2", 64, 128, 128, 2, 1, 1),
    *((f"b2_{i}", 128, 128, 128, 1, 1, 1) for i in (1, 2)),
    ("b3", 128, 256, 256, 2, 1, 1),
    *((f"b3_{i}", 256, 256, 256, 1, 1, 1) for i in (1, 2)),
    ("b4", 256, 512, 512, 2, 1, 1),
    *((f"b4_{i}", 512, 512, 512, 1, 1, 1) for i in range(1, 6)),
    ("b5", 512, 512, 1024, 1, 1, 2),
    *((f"b5_{i}", 1024, 512, 1024, 1, 2, 2) for i in (1, 2)),
)
_NECKS = (("b6", 1024, 2048, 0.3), ("b7", 2048, 4096, 0.5))  # name, inputs, outputs, dropout
_NECK_DILATION = 4
_BLOCKS = (*(row[0] for row in _WIDE), *(row[0] for row in _NECKS))


class _Affine(nn.Module):
    """A batch normalisation whose statistics stay as they are: a scale and a shift per channel."""

    scale: Tensor
    shift: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("scale", torch.ones(channels))
        self.register_buffer("shift", torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x * self.scale[:, None, None] + self.shift[:, None, None])


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2 * dilation, dilation, bias=False)


class _Wide(nn.Module):
    """Two 3x3 convolutions."""

    def __init__(self, inputs: int, width: int, outputs: int, stride: int, first: int, second: int):
        super().__init__()
        self.bn_branch2a = _Affine(inputs)
        self.conv_branch2a = _conv(inputs, width, 3, stride, first)
        self.bn_branch2b1 = _Affine(width)
        self.conv_branch2b1 = _conv(width, outputs, 3, 1, second)
        self.changes_shape = inputs != outputs or stride != 1
        if self.changes_shape:
            self.conv_branch1 = _conv(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What leaves the block, and its input as the block's convolutions see it."""
        active = self.bn_branch2a(x)
        shortcut = self.conv_branch1(active) if self.changes_shape else x
        y = self.conv_branch2b1(self.bn_branch2b1(self.conv_branch2a(active)))
        return shortcut + y, active


class _Neck(nn.Module):
    """1x1 to a quarter, 3x3 to a half, 1x1 to all of the outputs."""

    def __init__(self, inputs: int, outputs: int, dropout: float):
        super().__init__()
        self.bn_branch2a = _Affine(inputs)
        self.conv_branch2a = _conv(inputs, outputs // 4, 1)
        self.bn_branch2b1 = _Affine(outputs // 4)
        self.conv_branch2b1 = _conv(outputs // 4, outputs // 2, 3, 1, _NECK_DILATION)
        self.bn_branch2b2 = _Affine(outputs // 2)
        self.conv_branch2b2 = _conv(outputs // 2, outputs, 1)
        self.conv_branch1 = _conv(inputs, outputs, 1)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        active = self.bn_branch2a(x)
        y = self.conv_branch2a(active)
        y = self.conv_branch2b1(self.dropout(self.bn_branch2b1(y)))
        y = self.conv_branch2b2(self.dropout(self.bn_branch2b2(y)))
        return self.conv_branch1(active) + y, active


class ResNet38(Trunk):
    """(B, 3, H, W) RGB in [0, 1], sides multiples of 8 -> {4: (B, 256, H/4, W/4), 8: (B, 4096, H/8, W/8)}."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)
        self.channels = {4: 256, 8: 4096}
        self.conv1a = _conv(3, 64, 3)
        for name, *sizes in _WIDE:
            self.add_module(name, _Wide(*sizes))
        for name, inputs, outputs, dropout in _NECKS:
            self.add_module(name, _Neck(inputs, outputs, dropout))
        self.bn7 = _Affine(4096)

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        return ((4, 256), (8, 512), (8, 1024), (8, 4096))

    def pyramid(self, rgb: Tensor) -> list[Tensor]:
        """Levels 3, 4 and 5 as the next level's convolutions see them, and level 6 (PSA's conv4 to conv6)."""
        x = self.conv1a((rgb - self.mean) / self.std)
        seen: dict[str, Tensor] = {}
        for name in _BLOCKS:
            x, active = self.get_submodule(name)(x)
            if name in ("b4", "b5", "b6"):
                seen[name] = active
        return [*seen.values(), self.bn7(x)]

    def forward(self, rgb: Tensor) -> dict[int, Tensor]:
        at4, *_, deep = self.pyramid(rgb)
        return {4: at4, 8: deep}

    def load_torchvision(self, state: Mapping[str, Tensor]) -> None:
        """Take over a state dict in PSA's key names; its classifier is passed over.

        Raises KeyError or ValueError, naming the tensor, when it is another network's.
        """
        with torch.no_grad():
            for name, module in self.named_modules():
                if isinstance(module, nn.Conv2d):
                    _take(module.weight, state[f"{name}.weight"], name)
                elif isinstance(module, _Affine):
                    scale = state[f"{name}.weight"].float()
                    scale = scale / torch.sqrt(state[f"{name}.running_var"].float() + EPS)
                    _take(module.scale, scale, name)
                    mean, bias = state[f"{name}.running_mean"].float(), state[f"{name}.bias"].float()
                    _take(module.shift, bias - mean * scale, name)


def _take(into: Tensor, value: Tensor, name: str) -> None:
    if into.shape != value.shape:
        raise ValueError(f"{name}: {tuple(value.shape)} does not fit {tuple(into.shape)}")
    into.copy_(value)
