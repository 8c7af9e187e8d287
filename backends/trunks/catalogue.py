"""The trunks a network may stand on, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from backends.core.errors import BadInput
from backends.trunks.mobilenet_v2 import MobileNetV2
from backends.trunks.resnet import resnet18, resnet50


@dataclass(frozen=True)
class Trunk:
    """How one trunk is built."""

    make: Callable[[], nn.Module]
    """Builds it with random weights: (B, 3, H, W) RGB in [0, 1] -> {4, 8, 16: features}, ``channels`` beside."""


TRUNKS = {
    "mobilenet_v2": Trunk(MobileNetV2),
    "resnet18": Trunk(resnet18),
    "resnet50": Trunk(resnet50),
}


def build(name: str) -> nn.Module:
    """The trunk ``name`` with random weights. Raises BadInput, listing the known ones, for another name."""
    return entry(name).make()


def entry(name: str) -> Trunk:
    """What the catalogue knows of ``name``. Raises BadInput like :func:`build`."""
    if name not in TRUNKS:
        raise BadInput(f"unknown trunk {name!r}; known: {', '.join(TRUNKS)}")
    return TRUNKS[name]
