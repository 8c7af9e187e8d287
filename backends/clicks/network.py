"""The network that turns clicks into a mask: a trunk that sees the frame alone, and a head that sees prompts.

What the frame gives is computed once and kept between clicks; a further click costs the head alone. The head
reads prompts as maps beside the features (Xu et al., "Deep Interactive Object Selection", CVPR 2016) and the
mask so far as one more map (Mahadevan et al., "Iteratively Trained Interactive Segmentation", BMVC 2018).
Beside the maps it sees how much each place looks like the clicked ones, which holds at any distance.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.trunks.catalogue import build

CHANNELS = 6  # of the prompt maps, see backends.clicks.prompts
_LOW = -1.0  # cosine where there is no click to resemble


@dataclass(frozen=True)
class NetworkConfig:
    """Trunk and sizes; stored with the weights."""

    trunk: str = "mobilenet_v2"
    """mobilenet_v2, resnet18 or resnet50."""
    width16: int = 96
    """Channels at stride 16."""
    width8: int = 64
    """Channels at stride 8."""
    width4: int = 32
    """Channels at stride 4."""
    embedding: int = 48
    """Channels of the space in which places are compared with clicked ones."""

    def as_dict(self) -> dict[str, object]:
        """For the weights' metadata."""
        return asdict(self)


class ClickNetwork(nn.Module):
    """RGB frame, then as often as wanted: prompts -> logit of "belongs to the object"."""

    def __init__(self, config: NetworkConfig | None = None):
        super().__init__()
        self.config = config or NetworkConfig()
        self.trunk = build(self.config.trunk)
        self.neck = Neck(self.trunk.channels, self.config)
        self.head = Head(self.config)

    def encode(self, rgb: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, 3, H, W) in [0, 1], sides multiples of 16 -> what the frame gives, see :class:`Neck`."""
        neck: tuple[Tensor, Tensor, Tensor, Tensor] = self.neck(self.trunk(rgb))
        return neck

    def forward(
        self, features: tuple[Tensor, Tensor, Tensor, Tensor], maps: Tensor, places: Tensor, signs: Tensor
    ) -> Tensor:
        """Logits (B, 1, H/2, W/2), see :class:`Head`."""
        logits: Tensor = self.head(*features, maps, places, signs)
        return logits


class Neck(nn.Module):
    """The trunk's maps, narrowed: (B, width16, h, w), (B, width8, 2h, 2w), (B, width4, 4h, 4w) and the
    embedding (B, E, 2h, 2w), of unit length along E."""

    def __init__(self, channels: dict[int, int], config: NetworkConfig):
        super().__init__()
        self.near16 = _conv(channels[16], config.width16, 1)
        self.near8 = _conv(channels[8], config.width8, 1)
        self.near4 = _conv(channels[4], config.width4, 1)
        self.embed8 = nn.Conv2d(channels[8], config.embedding, 1)
        self.embed16 = nn.Conv2d(channels[16], config.embedding, 1)

    def forward(self, found: dict[int, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        embedded = self.embed8(found[8]) + _double(self.embed16(found[16]))
        unit = F.normalize(embedded.float(), dim=1, eps=1e-6)
        return self.near16(found[16]), self.near8(found[8]), self.near4(found[4]), unit


class Head(nn.Module):
    """Prompts on the frame's features -> logits at stride 2.

    ``maps`` (B, CHANNELS, 4h, 4w); ``places`` (B, N, 2): where the clicks are, (x, y) in [-1, 1] as
    ``grid_sample`` counts; ``signs`` (B, N): +1 positive, -1 negative, 0 no click.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__()
        c16, c8, c4 = config.width16, config.width8, config.width4
        self.said4 = _conv(CHANNELS, c4, 3)
        self.said8 = _conv(c4, c8, 3, stride=2)
        self.said16 = _conv(c8, c16, 3, stride=2)
        self.mix16 = _conv(2 * c16 + _LIKENESS, c16, 1)
        self.deep16 = nn.Sequential(*[Block(c16, 5, d) for d in (1, 2, 1, 3)])
        self.whole = nn.Linear(c16, c16)
        self.mix8 = _conv(c16 + 2 * c8 + _LIKENESS, c8, 1)
        self.deep8 = nn.Sequential(Block(c8, 5), Block(c8, 5))
        self.mix4 = _conv(c8 + 2 * c4 + 1, c4, 1)
        self.deep4 = nn.Sequential(Block(c4, 3), Block(c4, 3))
        self.out = nn.Conv2d(c4, 4, 3, padding=1)

    def forward(
        self, near16: Tensor, near8: Tensor, near4: Tensor, unit: Tensor, maps: Tensor, places: Tensor,
        signs: Tensor,
    ) -> Tensor:  # fmt: skip
        alike = likeness(unit, maps, places, signs).to(near8.dtype)
        said4 = self.said4(maps)
        said8 = self.said8(said4)
        x = self.mix16(torch.cat((near16, self.said16(said8), F.avg_pool2d(alike, 2)), 1))
        x = self.deep16(x)
        x = x + self.whole(x.mean((2, 3)))[:, :, None, None]
        x = self.deep8(self.mix8(torch.cat((_double(x), near8, said8, alike), 1)))
        x = self.deep4(self.mix4(torch.cat((_double(x), near4, said4, maps[:, -1:]), 1)))
        return F.pixel_shuffle(self.out(x), 2)


_LIKENESS = 5


def likeness(unit: Tensor, maps: Tensor, places: Tensor, signs: Tensor) -> Tensor:
    """(B, 5, 2h, 2w) cosines: to the nearest-looking positive click, the negative one, their difference, the
    mean look of the mask so far and of what is outside it."""
    clicked = F.grid_sample(unit, places[:, :, None], align_corners=False, padding_mode="border")[..., 0]
    flat = clicked.transpose(1, 2) @ unit.flatten(2)
    cosine = flat.reshape(flat.shape[0], flat.shape[1], unit.shape[2], unit.shape[3])  # (B, N, 2h, 2w)
    here = signs[:, :, None, None]
    low = torch.full_like(cosine, _LOW)
    positive = torch.where(here > 0, cosine, low).amax(1, keepdim=True)
    negative = torch.where(here < 0, cosine, low).amax(1, keepdim=True)
    before = F.avg_pool2d(maps[:, -1:].float(), 2)
    inside = _to_mean(unit, before)
    outside = _to_mean(unit, 1 - before)
    return torch.cat((positive, negative, positive - negative, inside, outside), 1)


def _to_mean(unit: Tensor, weight: Tensor) -> Tensor:
    mean = (unit * weight).sum((2, 3), keepdim=True) / (weight.sum((2, 3), keepdim=True) + 1.0)
    return (unit * mean).sum(1, keepdim=True)


class Block(nn.Module):
    """A residual depthwise-separable convolution."""

    def __init__(self, channels: int, kernel: int, dilation: int = 1):
        super().__init__()
        padding = kernel // 2 * dilation
        self.body = nn.Sequential(
            nn.Conv2d(
                channels, channels, kernel, padding=padding, dilation=dilation, groups=channels, bias=False
            ),
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, 2 * channels, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y


def _conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
