"""Classifiers as torchvision lays them out (its key names, batch normalisation unfolded), up to stride 16.

Written with plain modules, to hold the folded trunks against. Input as they were trained: (RGB - mean) / std.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalised(rgb: Tensor) -> Tensor:
    return (rgb - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


class Block(nn.Module):
    """A residual block from a list of (width, kernel, stride)."""

    def __init__(self, inputs: int, layers: list[tuple[int, int, int]]):
        super().__init__()
        width, self.count = inputs, len(layers)
        for number, (outputs, kernel, stride) in enumerate(layers, 1):
            self.add_module(
                f"conv{number}", nn.Conv2d(width, outputs, kernel, stride, kernel // 2, bias=False)
            )
            self.add_module(f"bn{number}", nn.BatchNorm2d(outputs))
            width = outputs
        step = max(stride for _, _, stride in layers)
        self.downsample = None
        if step > 1 or width != inputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, width, 1, step, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = y if number == self.count else y.relu()
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class Classifier(nn.Module):
    """A ResNet with its fourth stage and its classes, as a published file holds them."""

    def __init__(self, name: str):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        counts = {"resnet18": (2, 2, 2, 1), "resnet34": (3, 4, 6, 1), "resnet50": (3, 4, 6, 1)}[name]
        for stage, count in enumerate(counts):
            width, blocks = 64 * 2**stage, []
            for index in range(count):
                stride = 2 if stage and not index else 1
                if name == "resnet50":
                    layers = [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)]
                else:
                    layers = [(width, 3, stride), (width, 3, 1)]
                blocks.append(Block(inputs, layers))
                inputs = layers[-1][0]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, 10)

    def forward(self, rgb: Tensor) -> dict[int, Tensor]:
        x = nn.functional.max_pool2d(self.bn1(self.conv1(normalised(rgb))).relu(), 3, 2, 1)
        found = {}
        for stage, stride in ((1, 4), (2, 8), (3, 16)):
            x = found[stride] = getattr(self, f"layer{stage}")(x)
        return found


class Inverted(nn.Module):
    """MobileNetV2's block: expand, filter, project."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
        super().__init__()
        hidden = inputs * expansion
        layers = [unit(inputs, hidden, 1)] if expansion > 1 else []
        layers += [unit(hidden, hidden, 3, stride, hidden)]
        self.conv = nn.Sequential(*layers, nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


def unit(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


class MobileClassifier(nn.Module):
    """MobileNetV2 with torchvision's symmetric padding."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [unit(3, 32, 3, 2)]
        inputs = 32
        rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 1, 2))
        for expansion, outputs, repeats, stride in rows:
            for repeat in range(repeats):
                layers.append(Inverted(inputs, outputs, 1 if repeat else stride, expansion))
                inputs = outputs
        self.features = nn.Sequential(*layers)

    def forward(self, rgb: Tensor) -> dict[int, Tensor]:
        x, found = normalised(rgb), {}
        for index, layer in enumerate(self.features):
            x = layer(x)
            found |= {stride: x for stride, last in ((4, 3), (8, 6), (16, 13)) if index == last}
        return found


def trained(module: nn.Module, seed: int) -> nn.Module:
    """The module with weights and statistics as lively as after a training, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            fan = part.weight[0].numel()
            part.weight.data = torch.randn(part.weight.shape, generator=generator) * (2 / fan) ** 0.5
        if isinstance(part, nn.BatchNorm2d):
            for tensor, low in ((part.weight, 0.5), (part.running_var, 0.5)):
                tensor.data = torch.rand(tensor.shape, generator=generator) + low
            for tensor in (part.bias, part.running_mean):
                tensor.data = torch.randn(tensor.shape, generator=generator) * 0.2
    return module.eval()
