"""Small parts that the networks of this room share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNorm(nn.Sequential):
    """Convolution, batch normalisation, ReLU; same size for stride 1."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1):
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class PyramidPooling(nn.Module):
    """(B, C, h, w) -> (B, outputs, h, w): each cell beside means over grids of the whole map.

    Source: Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017, section 3.2. A grid finer than the map
    is fine: cells are then repeated.
    """

    def __init__(self, inputs: int, outputs: int, grids: Sequence[int] = (1, 2, 3, 6)):
        super().__init__()
        self.grids = tuple(grids)
        width = max(1, inputs // len(self.grids))
        # a norm over a 1x1 grid of one sample has nothing to average, so these stand without
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, width, 1), nn.ReLU(inplace=True)) for _ in self.grids
        )
        self.merge = ConvNorm(inputs + width * len(self.grids), outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        pooled = [
            resized(level(F.adaptive_avg_pool2d(x, grid)), size)
            for grid, level in zip(self.grids, self.levels, strict=True)
        ]
        out: Tensor = self.merge(torch.cat((x, *pooled), 1))
        return out


def resized(x: Tensor, size_hw: Sequence[int]) -> Tensor:
    """Bilinear, corners not aligned."""
    return F.interpolate(x, size=tuple(size_hw), mode="bilinear", align_corners=False)


def padded(rgb: Tensor, multiple: int) -> Tensor:
    """(B, 3, H, W) with its last row and column repeated until both sides are multiples of ``multiple``."""
    down, right = -rgb.shape[-2] % multiple, -rgb.shape[-1] % multiple
    return rgb if not (down or right) else F.pad(rgb, (0, right, 0, down), mode="replicate")
