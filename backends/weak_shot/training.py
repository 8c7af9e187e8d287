"""One network of the method at some step of its training; which, and by what loss, the stage says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from backends.core.errors import BadInput
from backends.training import loop
from backends.training.files import read_tensors, save_atomically
from backends.training.learner import Learner, Schedule
from backends.weak_shot.recipe import Budget
from backends.weak_shot.sampling import Draw, Sample

WEIGHTS = "weights.safetensors"
PANELS = (
    ("loss", {"loss": "whole loss", "tags": "tags", "er": "two sizes agree", "ecr": "refined agree"}),
    ("gradient norm", {"gradient": "before clipping at 1"}),
    ("learning rate", {"rate": "heads", "trunk_rate": "trunk"}),
)


@dataclass(frozen=True)
class Batch:
    """Crops together: rgb (B, 3, H, W) float32 in [0, 1], labels (B, H, W) uint8, tags (B, n) float32."""

    rgb: Tensor
    labels: Tensor
    tags: Tensor


Losses = Callable[[Any, Batch], Mapping[str, Tensor]]
"""(network, batch) -> scalars by name; ``loss`` is what is descended, the others are for the log."""


class Training:
    """A network and its learner; as :class:`backends.training.loop.Learning` wants it."""

    def __init__(
        self, network: nn.Module, losses: Losses, budget: Budget, *, seed: int, amp: bool, device: str = "cpu"
    ):
        self.losses, self.seed, self.amp = losses, seed, amp
        trunk = getattr(network, "trunk", None)
        if trunk is not None and budget.trunk_rate == 0:
            trunk.requires_grad_(False)  # two thirds of a step's time saved
        self.learner = Learner(network, schedule_of(budget), trunk=trunk, device=device)

    @property
    def step(self) -> int:
        """Steps made."""
        return self.learner.step

    def advance(self, batch: Batch) -> dict[str, float]:
        """One optimiser step. Raises FloatingPointError when the loss is not finite."""
        learner = self.learner
        rates = learner.set_rates()
        learner.network.train()
        torch.manual_seed(self.seed * 1_000_003 + self.step)  # a resumed run drops out the same
        with torch.autocast(learner.device.type, torch.bfloat16, enabled=self.amp):
            losses = self.losses(learner.network, _on(batch, learner.device))
        figures = {name: float(value.detach()) for name, value in losses.items()}
        learner.refuse_nonsense(figures["loss"])
        norm = learner.descend(losses["loss"])
        return {"step": self.step, **figures, "gradient": norm, **rates}

    def save(self, path: Path) -> None:
        """Everything needed to go on."""
        self.learner.save(path)

    def load(self, path: Path) -> None:
        """Go on from :meth:`save`."""
        self.learner.load(path)


def learn(
    training: Training, draw: Draw, budget: Budget, folder: Path, *, checkpoint_every: int, label: str
) -> dict[str, Tensor]:
    """Train in ``folder``, or go on there, or find what is finished: the averaged weights, float32.

    A finished stage is its ``weights.safetensors``; they appear whole or not at all. Raises BadInput when the
    loss is not finite.
    """
    weights = folder / WEIGHTS
    if not weights.is_file():
        loop.resume(training, folder)

        def make(step: int) -> Batch:
            return batch_of([draw(step * budget.batch + i) for i in range(budget.batch)])

        def batches(start: int) -> Iterator[Batch]:
            return loop.ahead(make, start, budget.steps)

        try:
            loop.run(
                training,
                batches,
                folder,
                checkpoint_every=checkpoint_every,
                last_step=budget.steps,
                panels=PANELS,
                label=label,
            )
        except FloatingPointError as error:
            raise BadInput(f"{label}: {error}; a lower learning_rate may help") from error
        save_atomically(training.learner.average, weights, {})
        (folder / loop.CHECKPOINT).unlink(missing_ok=True)  # twice the size, and done with
    return read_tensors(weights)[0]


def batch_of(samples: Sequence[Sample]) -> Batch:
    """Samples stacked."""
    rgb = torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2)
    labels = torch.from_numpy(np.stack([s.labels for s in samples]))
    return Batch(rgb, labels, torch.from_numpy(np.stack([s.tags for s in samples])))


def schedule_of(budget: Budget) -> Schedule:
    """The learner's part of a budget."""
    return Schedule(
        steps=budget.steps,
        learning_rate=budget.learning_rate,
        trunk_rate=budget.trunk_rate,
        weight_decay=budget.weight_decay,
        warm_up=budget.warm_up,
        average=budget.average,
    )


def _on(batch: Batch, device: torch.device) -> Batch:
    rgb = batch.rgb.to(device, memory_format=torch.channels_last)
    return Batch(rgb, batch.labels.to(device), batch.tags.to(device))
