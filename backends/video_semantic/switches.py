"""Trained attention with its switches set otherwise: fewer queries, other ones, smaller windows, no past.

Nothing is learned anew, so what differs is what the switch does to weights that were trained with another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from backends.core.errors import BadInput
from backends.video_semantic.networks import SceneNetwork
from backends.video_semantic.temporal import SparseTemporal

SWITCHES = ("rho", "queries", "radius", "keys", "first", "frames", "start", "end", "step")
"""Fields of TemporalConfig that no weights depend on, windows as long as they get no larger."""


@dataclass(frozen=True)
class Switched:
    """A network's own encoder and decoder with other attention between them; None: single frames."""

    network: SceneNetwork
    temporal: SparseTemporal | None = None

    def encode(self, rgb: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, d_t, h, w)."""
        return self.network.encode(rgb)

    def decode(self, features: Tensor, size_hw: tuple[int, int]) -> Tensor:
        """(B, d_t, h, w) -> (B, n, H, W)."""
        return self.network.decode(features, size_hw)


def switched(network: SceneNetwork, changed: Mapping[str, Any]) -> Switched:
    """``network`` with ``changed`` fields of its TemporalConfig, and copies of its attention's weights.

    Raises BadInput for a network without attention over time, for a field that decides the weights, and for
    windows larger than those that were learned.
    """
    trained = network.temporal
    if trained is None:
        raise BadInput("these weights answer every frame alone; there is nothing to switch")
    if unknown := [name for name in changed if name not in SWITCHES]:
        raise BadInput(f"{', '.join(unknown)} cannot be changed after training; only {', '.join(SWITCHES)}")
    module = SparseTemporal(trained.channels, replace(trained.config, **changed))
    rows = trained.radii.rows_of(module.radii)
    module.load_state_dict({**trained.state_dict(), "bias": trained.bias.detach()[rows]})
    return Switched(network, module.to(trained.bias.device).train(trained.training))
