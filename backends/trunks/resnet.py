"""ResNet-18 and ResNet-50 up to stride 16, batch normalisation folded into the convolutions.

Stages 1-3; the fourth, where it is wanted, is dilated.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, Table 1; the stride of a
bottleneck sits on its 3x3 convolution, as in torchvision's checkpoints. Module names follow torchvision's, so
that a checkpoint is folded in name by name. Frames come as RGB in [0, 1]; the mean and deviation that these
checkpoints were trained with are applied inside.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from backends.trunks.folding import IMAGENET_MEAN, IMAGENET_STD, fill, fold
from backends.trunks.interface import Trunk

STAGES = {1: 4, 2: 8, 3: 16}
"""Stage -> stride of its features; stage 4 would bring stride 32: left out, or dilated in DeepResNet."""


class _Basic(nn.Module):
    """Two 3x3 convolutions (ResNet-18)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, dilation: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, dilation, dilation)
        self.conv2 = nn.Conv2d(width, width, 3, 1, dilation, dilation)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.relu(self.conv1(x)))
        out: Tensor = self.relu(y + self.downsample(x))
        return out


class _Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1 to four times the width (ResNet-50)."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, dilation: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv3(self.relu(self.conv2(self.relu(self.conv1(x)))))
        out: Tensor = self.relu(y + self.downsample(x))
        return out


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride))


class ResNet(Trunk):
    """(B, 3, H, W) RGB in [0, 1], H and W multiples of 16 -> {4, 8, 16: (B, C, H/s, W/s)}."""

    mean: Tensor
    std: Tensor

    def __init__(self, block: type[_Basic] | type[_Bottleneck], repeats: tuple[int, int, int]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs, self.channels = 64, {}
        for stage, count in zip(STAGES, repeats, strict=True):
            width = 32 << stage
            layers = []
            for repeat in range(count):
                layers.append(block(inputs, width, 2 if stage > 1 and repeat == 0 else 1))
                inputs = width * block.expansion
            self.add_module(f"layer{stage}", nn.Sequential(*layers))
            self.channels[STAGES[stage]] = inputs

    def forward(self, rgb: Tensor) -> dict[int, Tensor]:
        x = self.maxpool(self.relu(self.conv1((rgb - self.mean) / self.std)))
        found: dict[int, Tensor] = {}
        for stage, stride in STAGES.items():
            x = self.get_submodule(f"layer{stage}")(x)
            found[stride] = x
        return found

    skipped: tuple[str, ...] = ("layer4.",)
    """Where the names begin of what a checkpoint holds and this trunk has no use for."""

    def load_torchvision(self, state: Mapping[str, Tensor]) -> None:
        """Fold a torchvision ``resnet18`` or ``resnet50`` state dict into these convolutions, name by name.

        Stages left out here and the classifier are passed over. Raises KeyError or ValueError, naming the
        tensor, when the state dict is another network's (too few or too many convolutions, other shapes).
        """
        convs = {name: m for name, m in self.named_modules() if isinstance(m, nn.Conv2d)}
        offered = {
            name.removesuffix(".weight")
            for name, value in state.items()
            if value.ndim == 4 and not name.startswith(self.skipped)
        }
        if offered != convs.keys():
            odd = min(offered ^ convs.keys())
            last = 4 - len(self.skipped)
            raise ValueError(f"{len(offered)} convolutions up to stage {last}, not {len(convs)}; see {odd}")
        for name, conv in convs.items():
            fill(conv, name, *fold(state, name, _norm_of(name)))


class DeepResNet(ResNet):
    """All four stages; the fourth, which tells classes apart, stays at stride 16 by dilation.

    Cell (2i, 2j) of the fourth stage holds what the strided network has in cell (i, j), borders aside.
    """

    skipped = ()

    def __init__(self, block: type[_Basic] | type[_Bottleneck], repeats: tuple[int, int, int, int]):
        super().__init__(block, repeats[:3])
        layers: list[nn.Module] = []
        inputs = self.channels[16]
        for repeat in range(repeats[3]):
            # the convolution that carried the stride still reads neighbours at distance one
            layers.append(block(inputs, 512, 1, 2 if repeat else 1))
            inputs = 512 * block.expansion
        self.layer4 = nn.Sequential(*layers)
        self._shallow = dict(self.channels)
        self.channels[16] = inputs

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        return (*self._shallow.items(), (16, self.channels[16]))

    def pyramid(self, rgb: Tensor) -> list[Tensor]:
        """Stages 1, 2 and 3, as :class:`ResNet` has them, and stage 4."""
        found = super().forward(rgb)
        return [*found.values(), self.layer4(found[16])]

    def forward(self, rgb: Tensor) -> dict[int, Tensor]:
        at4, at8, _, deep = self.pyramid(rgb)
        return {4: at4, 8: at8, 16: deep}


def _norm_of(conv: str) -> str:
    """torchvision's name of the norm behind a convolution: conv2 -> bn2, downsample.0 -> downsample.1."""
    stem, _, last = conv.rpartition(".")
    return f"{stem}.1" if last == "0" else f"{stem}.{last}".lstrip(".").replace("conv", "bn")


def resnet18() -> ResNet:
    """2.8 M parameters up to stride 16; 64, 128, 256 channels."""
    return ResNet(_Basic, (2, 2, 2))


def resnet50() -> ResNet:
    """8.5 M parameters up to stride 16; 256, 512, 1024 channels."""
    return ResNet(_Bottleneck, (3, 4, 6))


def resnet50_deep() -> DeepResNet:
    """23.5 M parameters, all four stages at stride 16 at most; 256, 512, 1024 and 2048 channels."""
    return DeepResNet(_Bottleneck, (3, 4, 6, 3))
