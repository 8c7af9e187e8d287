"""The networks of this room: an encoder, attention over time where it is wanted, and a decoder.

The cut between encoder and decoder follows TDNet (Hu et al., CVPR 2020), as STT does: whatever stands before
:attr:`SceneNetwork.temporal` is computed once per frame and may be kept. Without it, or with its share of
queries at 0, the network is exactly the single-frame network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from backends.core.errors import BadInput
from backends.trunks.interface import Trunk
from backends.video_semantic.bise import BiseEncoder, BiseHead
from backends.video_semantic.blocks import resized
from backends.video_semantic.psp import AuxHead, FcnHead, PspEncoder
from backends.video_semantic.temporal import SparseTemporal, TemporalConfig
from backends.video_semantic.top_down import FineHead, TopDown

STRIDE = 8
"""Pixels of the padded frame per cell of the features, in every network here."""


@dataclass(frozen=True)
class NetworkConfig:
    """Which network; stored with its weights."""

    encoder: str = "mobilenet_v2"
    """One of ENCODERS."""
    trunk: str = ""
    """Another trunk of the catalogue for the encoder; empty: its own."""
    classes: int = 0
    """How many; 0 until the data says it."""
    looks_back: bool = False
    """With attention over time; without it every frame is answered alone."""
    temporal: TemporalConfig = field(default_factory=TemporalConfig)
    """How it looks back, where it does."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class SceneNetwork(nn.Module):
    """``encode`` once per frame, ``decode`` to logits; ``aux`` is for training alone."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, aux: nn.Module):
        super().__init__()
        self.encoder, self.decoder, self.aux = encoder, decoder, aux
        self.temporal: SparseTemporal | None = None

    def encode(self, rgb: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1] -> (B, d_t, h, w): h and w are a padded H and W over STRIDE."""
        features: Tensor = self.encoder(rgb)[0]
        return features

    def decode(self, features: Tensor, size_hw: tuple[int, int]) -> Tensor:
        """(B, d_t, h, w) -> (B, n, H, W) logits for frames of ``size_hw`` = (H, W) pixels."""
        return full_size(self.decoder(features), features, size_hw)

    def forward(self, rgb: Tensor) -> Tensor:
        """The single-frame network: (B, 3, H, W) RGB in [0, 1] -> (B, n, H, W) logits."""
        return self.decode(self.encode(rgb), (rgb.shape[-2], rgb.shape[-1]))

    def coarse(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """For training: logits of the decoder and of the auxiliary head, each at its own stride, not cut."""
        features, early = self.encoder(rgb)
        return self.decoder(features), self.aux(early)

    @property
    def channels(self) -> int:
        """d_t, of the features."""
        return int(self.encoder.channels)  # type: ignore[arg-type]

    @property
    def trunk(self) -> Trunk:
        """The part that may begin with ImageNet weights."""
        trunk = self.encoder.trunk
        assert isinstance(trunk, Trunk)
        return trunk


def full_size(logits: Tensor, features: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Logits of any stride brought to the padded frame and cut to (H, W)."""
    height, width = (STRIDE * side for side in features.shape[-2:])
    return resized(logits, (height, width))[..., : size_hw[0], : size_hw[1]]


def _top_down(trunk: str, classes: int) -> SceneNetwork:
    encoder = TopDown(trunk)
    aux = nn.Conv2d(encoder.aux_channels, classes, 1)
    return SceneNetwork(encoder, FineHead(encoder.channels, classes), aux)


def _psp(trunk: str, classes: int) -> SceneNetwork:
    encoder = PspEncoder(trunk)
    return SceneNetwork(encoder, FcnHead(encoder.channels, classes), AuxHead(encoder.aux_channels, classes))


def _bise(trunk: str, classes: int) -> SceneNetwork:
    encoder = BiseEncoder(trunk)
    aux = nn.Conv2d(encoder.aux_channels, classes, 1)
    return SceneNetwork(encoder, BiseHead(encoder.channels, classes), aux)


ENCODERS: dict[str, tuple[str, Callable[[str, int], SceneNetwork]]] = {
    "mobilenet_v2": ("mobilenet_v2_blocks", _top_down),
    "psp18": ("resnet18_stride8", _psp),
    "psp50": ("resnet50_stride8", _psp),
    "psp101": ("resnet101_stride8", _psp),
    "bise18": ("resnet18_stride32", _bise),
    "bise34": ("resnet34_stride32", _bise),
}
"""Name -> its own trunk, and how it is built on one; the first is for CPUs."""


_WIDTHS = {"mobilenet_v2": 32}
"""Channels inside the attention where a quarter of the features' costs too much of so light a network."""


def build(config: NetworkConfig) -> SceneNetwork:
    """The network with random weights. Raises BadInput for an unknown encoder or no classes."""
    trunk = trunk_name(config)
    if not 2 <= config.classes <= 254:
        raise BadInput(f"{config.classes} classes; a scene wants 2 to 254 (255 means: do not count)")
    network = ENCODERS[config.encoder][1](trunk, config.classes)
    if config.looks_back:
        width = config.temporal.width or _WIDTHS.get(config.encoder, 0)
        network.temporal = SparseTemporal(network.channels, replace(config.temporal, width=width))
    return network


def trunk_name(config: NetworkConfig) -> str:
    """The catalogue's name of the trunk that ``config`` stands on. Raises BadInput for an unknown encoder."""
    if config.encoder not in ENCODERS:
        raise BadInput(f"unknown encoder {config.encoder!r}; known: {', '.join(ENCODERS)}")
    return config.trunk or ENCODERS[config.encoder][0]
