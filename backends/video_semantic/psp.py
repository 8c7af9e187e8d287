"""PSPNet (Zhao et al., CVPR 2017): a trunk dilated to stride 8, means over grids of the whole picture.

Cut in two as TDNet cuts it (Hu et al., CVPR 2020): pyramid pooling belongs to the encoder, and the decoder
normalises, mixes 3x3 into a quarter of the channels and classifies.
"""

from __future__ import annotations

from torch import Tensor, nn

from backends.trunks.catalogue import build
from backends.video_semantic.blocks import ConvNorm, PyramidPooling, padded

MULTIPLE = 16


class PspEncoder(nn.Module):
    """(B, 3, H, W) RGB in [0, 1] -> (B, d_t, h, w) at stride 8, and stage 3 for the auxiliary loss."""

    def __init__(self, trunk: str):
        super().__init__()
        self.trunk = build(trunk, (4, 8))
        *_, (_, early), (_, deep) = self.trunk.stages
        self.channels, self.aux_channels = deep, early
        self.pooling = PyramidPooling(deep, deep)

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        *_, early, deep = self.trunk.pyramid(padded(rgb, MULTIPLE))
        return self.pooling(deep), early


class FcnHead(nn.Module):
    """(B, d_t, h, w) -> (B, n, h, w) logits."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.mix = ConvNorm(channels, channels // 4, 3)
        self.drop = nn.Dropout2d(0.1)
        self.classify = nn.Conv2d(channels // 4, classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        x = self.norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        logits: Tensor = self.classify(self.drop(self.mix(x)))
        return logits


class AuxHead(nn.Sequential):
    """(B, C, h, w) -> (B, n, h, w) logits of the auxiliary loss."""

    def __init__(self, channels: int, classes: int):
        super().__init__(ConvNorm(channels, channels // 4, 3), nn.Conv2d(channels // 4, classes, 1))
