"""MobileNetV2, up to stride 16 or all of it, with batch normalisation folded into the convolutions.

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, Table 2. Key
names follow torchvision's, so its checkpoints can be folded in. Strided convolutions pad like TensorFlow's
SAME on even sizes (one row below, one column to the right) and frames are brought to [-1, 1], as the
shipped ImageNet weights expect; torchvision's own files, trained otherwise, are fitted to that when loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from backends.trunks.folding import IMAGENET_MEAN, IMAGENET_STD, fill, fold
from backends.trunks.interface import Trunk
from backends.trunks.phased import PhasedConv2d

# expansion, output channels, repeats, stride: rows 2-6 of Table 2; the rest lies beyond stride 16
_ROWS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))
CHANNELS = {4: 24, 8: 32, 16: 96}
_LAST_LAYER = {4: 3, 8: 6, 16: 13}


class _ConvReLU6(nn.Sequential):
    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, dilation: int = 1
    ):
        pad: nn.Module = nn.ZeroPad2d((0, 1, 0, 1)) if stride == 2 else nn.Identity()
        padding = kernel // 2 * dilation if stride == 1 else 0
        kind = PhasedConv2d if dilation == 2 and groups > 1 else nn.Conv2d
        conv = kind(inputs, outputs, kernel, stride, padding, dilation, groups)
        super().__init__(pad, conv, nn.ReLU6(inplace=True))


class _InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, dilation: int = 1):
        super().__init__()
        hidden = inputs * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(_ConvReLU6(inputs, hidden, 1))
        layers.append(_ConvReLU6(hidden, hidden, 3, stride, hidden, dilation))
        layers.append(nn.Conv2d(hidden, outputs, 1))
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.residual else y


class MobileNetV2(Trunk):
    """(B, 3, H, W) RGB in [0, 1], H and W multiples of 16 -> {4, 8, 16: (B, C, H/s, W/s)}."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = dict(CHANNELS)
        layers: list[nn.Module] = [_ConvReLU6(3, 32, 3, 2)]
        inputs = 32
        for expansion, outputs, repeats, stride in _ROWS:
            for repeat in range(repeats):
                layers.append(_InvertedResidual(inputs, outputs, stride if repeat == 0 else 1, expansion))
                inputs = outputs
        self.features = nn.ModuleList(layers)

    def forward(self, rgb: Tensor) -> dict[int, Tensor]:
        x = rgb * 2.0 - 1.0
        found: dict[int, Tensor] = {}
        for index, layer in enumerate(self.features[: _LAST_LAYER[16] + 1]):
            x = layer(x)
            for stride, last in _LAST_LAYER.items():
                if index == last:
                    found[stride] = x
        return found

    def load_torchvision(self, state: Mapping[str, Tensor]) -> None:
        """Fold a ``mobilenet_v2`` state dict of a network trained on RGB in [-1, 1] with SAME padding."""
        convs = [(name, m) for name, m in self.named_modules() if isinstance(m, nn.Conv2d)]
        sources = _conv_and_norm_names(state)
        if len(sources) < len(convs):
            raise ValueError(f"{len(sources)} convolutions where {len(convs)} are needed")
        for (_, conv), (conv_name, norm_name) in zip(convs, sources, strict=False):
            fill(conv, conv_name, *fold(state, conv_name, norm_name))

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        """torchvision's own file: trained on (RGB - mean) / deviation with symmetric padding.

        The first convolution takes the other normalisation over, exactly. The padding stays SAME, which
        moves the grid: away from the borders each feature equals torchvision's for the picture moved by
        ``stride - 1`` pixels up and left. Heads trained on this trunk know no other grid.
        """
        self.load_torchvision(state)
        first = self.get_submodule("features.0.1")
        assert isinstance(first, nn.Conv2d) and first.bias is not None
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        with torch.no_grad():
            # (rgb - mean) / std = (x - (2 mean - 1)) / (2 std) with x = 2 rgb - 1, what this trunk computes
            first.weight /= (2 * std)[None, :, None, None]
            first.bias -= (first.weight * (2 * mean - 1)[None, :, None, None]).sum((1, 2, 3))


class MobileNetV2Deep(MobileNetV2):
    """All 17 blocks and the last 1x1 convolution, what lies beyond stride 16 dilated instead of strided.

    Classes are told apart in these layers. The convolution that had stride 2 runs at every cell, those
    behind it with dilation 2: cell (2i + 1, 2j + 1) holds what the strided network, with its SAME padding,
    has in cell (i, j), away from the borders.
    """

    def __init__(self, last_convolution: int | None = 1280) -> None:
        super().__init__()
        # block 14 carried the stride; its own kernel still reads neighbours at distance one
        for inputs, outputs, dilation in ((96, 160, 1), (160, 160, 2), (160, 160, 2), (160, 320, 2)):
            self.features.append(_InvertedResidual(inputs, outputs, 1, 6, dilation))
        if last_convolution:
            self.features.append(_ConvReLU6(320, last_convolution, 1))
        self.channels[16] = last_convolution or 320

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        return (*CHANNELS.items(), (16, self.channels[16]))

    def pyramid(self, rgb: Tensor) -> list[Tensor]:
        """Blocks 3, 6 and 13, as :class:`MobileNetV2` has them, and the last map."""
        found = super().forward(rgb)
        x = found[16]
        for layer in self.features[_LAST_LAYER[16] + 1 :]:
            x = layer(x)
        return [*found.values(), x]

    def forward(self, rgb: Tensor) -> dict[int, Tensor]:
        at4, at8, _, deep = self.pyramid(rgb)
        return {4: at4, 8: at8, 16: deep}


def _conv_and_norm_names(state: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    # files may list their tensors in the order of the alphabet, where layer 10 comes before layer 2
    names = sorted(state, key=lambda name: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)])
    convs = [k.removesuffix(".weight") for k in names if k.endswith(".weight") and state[k].ndim == 4]
    norms = [k.removesuffix(".running_mean") for k in names if k.endswith(".running_mean")]
    if len(convs) != len(norms):
        raise ValueError(
            f"{len(convs)} convolutions and {len(norms)} batch normalisations; wants as many of each"
        )
    return list(zip(convs, norms, strict=True))
