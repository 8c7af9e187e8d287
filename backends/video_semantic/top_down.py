"""The default encoder: a light trunk, its deepest map beside means of the whole picture, then upwards.

A feature pyramid (Lin et al., CVPR 2017) with pyramid pooling at its top, as light real-time networks have it
(Orsic et al., "In Defense of Pre-trained ImageNet Architectures", CVPR 2019). It ends at stride 4, because
poles and signs are a few pixels wide, and hands its map on at stride 8 with the four cells of each 2x2 block
side by side in the channels: attention over time then has a quarter of the cells to look at and no detail is
lost.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from backends.trunks.catalogue import build
from backends.video_semantic.blocks import ConvNorm, PyramidPooling, padded, resized

FINEST = 4
"""Stride at which the map is built, before 2x2 blocks are put into channels."""
MULTIPLE = 16
"""What both sides of a frame are padded to a multiple of."""


class TopDown(nn.Module):
    """(B, 3, H, W) RGB in [0, 1] -> (B, 4 * fine, h, w) at stride 8 and (B, wide, h, w) for the aux loss."""

    def __init__(self, trunk: str, *, wide: int = 128, fine: int = 64):
        super().__init__()
        self.trunk = build(trunk)
        stages = self.trunk.stages  # shallow to deep; a dilated trunk has a stride twice
        self.channels, self.aux_channels = 4 * fine, wide
        widths = [fine if stride == FINEST else wide for stride, _ in stages]
        self.top = PyramidPooling(stages[-1][1], wide)
        below = list(zip(stages[:-1], widths[:-1], widths[1:], strict=True))[::-1]
        self.lateral = nn.ModuleList(nn.Conv2d(channels, w, 1) for (_, channels), w, _ in below)
        self.reduce = nn.ModuleList(
            nn.Identity() if w == above else nn.Conv2d(above, w, 1) for _, w, above in below
        )
        self.blend = nn.ModuleList(ConvNorm(w, w, 3) for _, w, _ in below)

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        *below, deepest = self.trunk.pyramid(padded(rgb, MULTIPLE))
        x = self.top(deepest)
        maps = [x]
        for found, lateral, reduce, blend in zip(
            below[::-1], self.lateral, self.reduce, self.blend, strict=True
        ):
            skip = lateral(found)
            x = blend(resized(reduce(x), skip.shape[-2:]) + skip)
            maps.append(x)
        return F.pixel_unshuffle(x, 2), maps[-2]


class FineHead(nn.Module):
    """(B, 4 * fine, h, w) at stride 8 -> (B, n, 2h, 2w) logits at stride 4."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        fine = channels // 4
        self.mix = ConvNorm(fine, fine, 3)
        self.drop = nn.Dropout2d(0.1)
        self.classify = nn.Conv2d(fine, classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.classify(self.drop(self.mix(F.pixel_shuffle(features, 2))))
        return logits
