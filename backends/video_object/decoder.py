"""From evidence to masks: features of the frame shared by all objects, a small decoder per object, its heads.

A convolution over concatenated maps is the sum of convolutions over each, so all that depends on the frame
alone is computed once (``Neck``) and added to every object's maps.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH8, WIDTH4 = 32, 16


class Neck(nn.Module):
    """Trunk features at strides 4, 8, 16 -> (B, width, h, w), (B, 32, 2h, 2w), (B, 16, 4h, 4w)."""

    def __init__(self, channels: Mapping[int, int], width: int):
        super().__init__()
        self.at16 = nn.Conv2d(channels[16], width, 1)
        self.down8 = nn.Conv2d(width, WIDTH8, 1)
        self.at8 = nn.Conv2d(channels[8], WIDTH8, 1)
        self.mix8 = nn.Conv2d(WIDTH8, WIDTH8, 3, padding=1)
        self.down4 = nn.Conv2d(WIDTH8, WIDTH4, 1)
        self.at4 = nn.Conv2d(channels[4], WIDTH4, 1)
        self.mix4 = nn.Conv2d(WIDTH4, WIDTH4, 3, padding=1)

    def forward(self, found: Mapping[int, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        x16 = self.at16(found[16])
        x8 = F.relu(self.at8(found[8]) + double(self.down8(F.relu(x16))))
        x4 = F.relu(self.at4(found[4]) + double(self.down4(x8)))
        return x16, self.mix8(x8), self.mix4(x4)


class Decoder(nn.Module):
    """Evidence (B*K, E, h, w) and the neck's maps -> a logit per stride-4 cell, the heads at stride 8."""

    def __init__(self, evidence: int, width: int, heads: bool):
        super().__init__()
        self.enter = nn.Conv2d(evidence, width, 3, padding=1)
        self.context = nn.Conv2d(width, width, 3, padding=2, dilation=2)
        self.at16 = nn.Conv2d(width, width, 3, padding=4, dilation=4)
        self.down8 = nn.Conv2d(width, WIDTH8, 1)
        self.mask8 = nn.Conv2d(1, WIDTH8, 3, padding=1)
        self.enter8 = nn.Conv2d(WIDTH8, WIDTH8, 3, padding=1)
        self.at8 = nn.Conv2d(WIDTH8, WIDTH8, 3, padding=1)
        self.down4 = nn.Conv2d(WIDTH8, WIDTH4, 1)
        self.mask4 = nn.Conv2d(1, WIDTH4, 3, padding=1)
        self.at4 = nn.Conv2d(WIDTH4, WIDTH4, 3, padding=1)
        self.leave = nn.Conv2d(WIDTH4, 1, 3, padding=1)
        self.centre = CentreHead() if heads else None

    def forward(
        self, evidence: Tensor, near: tuple[Tensor, Tensor, Tensor], previous: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """``near``: the neck's maps repeated per object; ``previous``: (B*K, 1, 4h, 4w) the last masks."""
        x = F.relu(self.enter(evidence) + near[0])
        x = F.relu(x + self.context(x))
        x = F.relu(x + self.at16(x))
        x = F.relu(double(self.down8(x)) + near[1] + self.mask8(F.avg_pool2d(previous, 2)))
        x = F.relu(x + self.enter8(x))
        x = F.relu(x + self.at8(x))
        heads = None if self.centre is None else self.centre(x)
        x = F.relu(double(self.down4(x)) + near[2] + self.mask4(previous))
        x = F.relu(x + self.at4(x))
        return self.leave(x), heads


class CentreHead(nn.Module):
    """(B*K, 32, h, w) -> heat logit and offset in px, (B*K, 3, h, w)."""

    def __init__(self, width: int = 24):
        super().__init__()
        self.enter = nn.Conv2d(WIDTH8, width, 3, padding=1)
        self.leave = nn.Conv2d(width, 3, 1)
        with torch.no_grad():
            self.leave.weight.mul_(0.1)
            self.leave.bias.copy_(torch.tensor([-4.0, 0.0, 0.0]))  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.leave(F.relu(self.enter(x)))
        # offsets of a hundred pixels from weights of order one
        return torch.cat((out[:, :1], 32.0 * out[:, 1:]), 1)


def double(x: Tensor) -> Tensor:
    """Twice as many rows and columns, bilinear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
