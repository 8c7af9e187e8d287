"""What decides a training's result: steps, rates, data held back, the network, how views are cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backends.clicks.network import NetworkConfig
from backends.clicks.sampling import SampleConfig
from backends.training import settings
from backends.training.learner import Schedule

HELD_OUT = ("bear", "bus", "dance-jump", "drift-turn", "horsejump-low", "scooter-gray")


@dataclass(frozen=True)
class TrainingConfig:
    """One run. Everything that decides the result; stored with it."""

    steps: int = 1600
    """Length of the schedule of rates."""
    batch: int = 8
    seed: int = 0
    learning_rate: float = 1.5e-3
    """Peak rate of everything but the trunk."""
    trunk_rate: float = 2e-4
    """Peak rate of the trunk."""
    weight_decay: float = 1e-4
    stop: int = 0
    """Stop at this step of the schedule; 0: at its end."""
    warm_up: int = 100
    """Steps of linear warm-up before the cosine."""
    average: float = 0.998
    """Decay of the running average of the weights."""
    rounds: tuple[float, ...] = (0.25, 0.25, 0.2, 0.15, 0.15)
    """Shares of steps that end after 1, 2, 3, … clicks; the network's own mask is fed on between them."""
    amp: bool = True
    """bfloat16 autocast."""
    checkpoint_every: int = 100
    every: int = 2
    """One video frame in so many is read."""
    photos_until: str = "0600"
    """The last photo (in name order) that is read."""
    held_out: tuple[str, ...] = HELD_OUT
    """Sequences that training never sees."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)

    @property
    def last_step(self) -> int:
        """How many steps are made."""
        return min(self.stop or self.steps, self.steps)

    @property
    def schedule(self) -> Schedule:
        """How far each step goes."""
        return Schedule(
            self.steps, self.learning_rate, self.trunk_rate, self.weight_decay, self.warm_up, self.average
        )


def config_from(values: Mapping[str, Any]) -> TrainingConfig:
    """Build a config from JSON values; unknown names are refused with the list of known ones."""
    return settings.config_from(TrainingConfig, values)
