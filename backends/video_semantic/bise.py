"""The light two-way network that STT calls BiSeNet*: fast attention on every stage of a strided ResNet.

It is TDNet's variant (Hu et al., CVPR 2020), in the manner of FANet (Hu et al., "Real-time Semantic
Segmentation with Fast Attention", RA-L 2020): attention with cosine similarity, so that keys meet values
first and the cost is linear in the cells, then upwards by sums to one map at stride 8.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.trunks.catalogue import build
from backends.video_semantic.blocks import ConvNorm, padded, resized

MULTIPLE = 32
STRIDE = 8


class FastAttention(nn.Module):
    """(B, C, h, w) -> (B, outputs, h, w): ``x + smooth(Q (K^T V) / n)``, Q and K of unit length per cell."""

    def __init__(self, inputs: int, outputs: int, key_width: int = 32):
        super().__init__()
        self.query = nn.Conv2d(inputs, key_width, 1)
        self.key = nn.Conv2d(inputs, key_width, 1)
        self.value = ConvNorm(inputs, outputs, 1)
        self.smooth = ConvNorm(outputs, outputs, 3)
        self.lateral = ConvNorm(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        value = self.value(x)
        q = F.normalize(self.query(x).flatten(2), dim=1)  # (B, k, n)
        k = F.normalize(self.key(x).flatten(2), dim=1)
        met = torch.einsum("bkn,bcn->bkc", k, value.flatten(2)) / q.shape[-1]
        read = torch.einsum("bkn,bkc->bcn", q, met).reshape(value.shape)
        out: Tensor = self.lateral(x) + self.smooth(read)
        return out


class BiseEncoder(nn.Module):
    """(B, 3, H, W) RGB in [0, 1] -> (B, 256, h, w) at stride 8, and (B, wide, h', w') for the aux loss."""

    channels = 256

    def __init__(self, trunk: str, *, wide: int = 128):
        super().__init__()
        self.trunk = build(trunk, (4, 8, 16, 32))
        self.aux_channels = wide
        self.attention = nn.ModuleList(FastAttention(c, wide) for _, c in self.trunk.stages)
        self.up = nn.ModuleList(ConvNorm(wide, wide, 3) for _ in self.trunk.stages[1:])
        self.fuse = ConvNorm(4 * wide, self.channels, 1)

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        stages = self.trunk.pyramid(padded(rgb, MULTIPLE))
        at4, *deeper = (attend(x) for attend, x in zip(self.attention, stages, strict=True))
        maps = [deeper[-1]]
        for skip, up in zip((*deeper[-2::-1], at4), self.up, strict=True):
            maps.append(up(resized(maps[-1], skip.shape[-2:]) + skip))
        deep, middle, fine, finest = maps
        size = fine.shape[-2:]
        found = torch.cat((fine, F.avg_pool2d(finest, 2), resized(middle, size), resized(deep, size)), 1)
        return self.fuse(found), middle


class BiseHead(nn.Module):
    """(B, 256, h, w) -> (B, n, h, w) logits."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.mix = ConvNorm(channels, channels // 4, 3)
        self.drop = nn.Dropout2d(0.1)
        self.classify = nn.Conv2d(channels // 4, classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.drop(self.mix(features)))
        return logits
