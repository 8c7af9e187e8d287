"""What decides a training's result: steps, rates, data held back, the network, how clips are cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backends.training import settings
from backends.training.learner import Schedule
from backends.video_object.network import NetworkConfig
from backends.video_object.sampling import SampleConfig

VALIDATION = ("bear", "bus", "dance-jump", "drift-turn", "horsejump-low", "scooter-gray")


@dataclass(frozen=True)
class TrainingConfig:
    """One run. Everything that decides the result; stored with it."""

    steps: int = 2400
    batch: int = 6
    seed: int = 0
    learning_rate: float = 1e-3
    """Peak rate of everything but the trunk."""
    trunk_rate: float = 1e-4
    """Peak rate of the trunk."""
    weight_decay: float = 1e-4
    warm_up: int = 100
    """Steps of linear warm-up before the cosine."""
    average: float = 0.998
    """Decay of the running average of the weights."""
    amp: bool = True
    """bfloat16 autocast."""
    hardest: float = 0.4
    """Share of the pixels, those with the greatest loss, that the cross entropy counts."""
    centre_weight: float = 1.0
    """Weight of the centre losses beside those of the masks."""
    checkpoint_every: int = 100
    validation: tuple[str, ...] = VALIDATION
    """Sequences that training never sees."""
    stills_count: int = 0
    """How many stills to use, in order of name; 0 means all."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)

    @property
    def schedule(self) -> Schedule:
        """How far each step goes."""
        return Schedule(
            self.steps, self.learning_rate, self.trunk_rate, self.weight_decay, self.warm_up, self.average
        )


def config_from(values: Mapping[str, Any]) -> TrainingConfig:
    """Build a config from JSON values; unknown names are refused with the list of known ones."""
    return settings.config_from(TrainingConfig, values)
