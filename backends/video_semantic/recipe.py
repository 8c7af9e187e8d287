"""What decides a training's result: steps, rates, losses, the network, how samples are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backends.training.learner import Schedule
from backends.training.settings import config_from as build_config
from backends.video_semantic.clips import ClipConfig
from backends.video_semantic.networks import NetworkConfig, trunk_name
from backends.video_semantic.sampling import SampleConfig


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses."""

    sure: float = 0.7
    """Cross entropy counts the pixels whose true class is less probable than this."""
    least: float = 0.1
    """The hardest share of pixels that counts in any case; 1: all count."""
    balance: float = 0.25
    """Power of a class's share of pixels in its weight; 0: all classes weigh the same per pixel."""
    jaccard: float = 0.5
    """Weight of the soft Jaccard loss."""
    auxiliary: float = 0.3
    """Weight of the cross entropy of the auxiliary head."""
    single: float = 0.5
    """Clips: weight of the single-frame answer's losses beside those of the answer that looks back."""
    steady: float = 0.0
    """Clips: weight of the temporal loss (ETC); 0: none."""


@dataclass(frozen=True)
class TrainingConfig:
    """One run. Everything that decides the result; stored with it."""

    steps: int = 3600
    batch: int = 8
    seed: int = 0
    learning_rate: float = 1.5e-3
    """Peak rate of everything but the trunk."""
    trunk_rate: float = 4e-4
    """Peak rate of the trunk."""
    weight_decay: float = 1e-3
    warm_up: int = 150
    """Steps of linear warm-up before the cosine."""
    average: float = 0.998
    """Decay of the running average of the weights."""
    stop: int = 0
    """Stop at this step of the schedule; 0: at its end."""
    amp: bool = True
    """bfloat16 autocast."""
    checkpoint_every: int = 200
    held_out: float = 0.0
    """Last share of every footage's labelled frames that training never sees: to choose settings on."""
    past_gradients: bool = False
    """Clips: gradients reach the encodings of past frames, too."""
    loss: LossConfig = field(default_factory=LossConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    clip: ClipConfig = field(default_factory=ClipConfig)

    @property
    def last_step(self) -> int:
        """How many steps are made."""
        return min(self.stop or self.steps, self.steps)

    @property
    def schedule(self) -> Schedule:
        """The rates."""
        return Schedule(
            self.steps, self.learning_rate, self.trunk_rate, self.weight_decay, self.warm_up, self.average
        )

    @property
    def trunk(self) -> str:
        """The catalogue's name of the trunk. Raises BadInput for an unknown encoder."""
        return trunk_name(self.network)


def config_from(values: Mapping[str, Any]) -> TrainingConfig:
    """Build a config from JSON values; unknown names are refused with the list of known ones."""
    return build_config(TrainingConfig, values)
