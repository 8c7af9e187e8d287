"""One training at some step: what both phases share, and the first one, the single-frame network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backends.training.learner import Learner
from backends.trunks.catalogue import load_weights as load_trunk
from backends.video_semantic.blocks import resized
from backends.video_semantic.losses import class_weights, hard_pixels, soft_jaccard
from backends.video_semantic.networks import SceneNetwork, build
from backends.video_semantic.recipe import TrainingConfig
from backends.video_semantic.sampling import Sample

Batch = TypeVar("Batch")


class Training(ABC, Generic[Batch]):
    """The network, its optimiser and its average, at some step. ``counts``: (n,) pixels per class."""

    def __init__(self, config: TrainingConfig, counts: NDArray[np.int64], device: str = "cpu"):
        self.config = config
        torch.manual_seed(config.seed)
        self.network = build(config.network)
        self.learner = self.learner_of(self.network, config, device)
        self.weights = torch.from_numpy(class_weights(counts, config.loss.balance)).to(self.learner.device)
        self.load, self.save = self.learner.load, self.learner.save

    @property
    def step(self) -> int:
        """Steps made."""
        return self.learner.step

    def learner_of(self, network: SceneNetwork, config: TrainingConfig, device: str) -> Learner:
        """Which part learns at the trunk's rate: the trunk."""
        return Learner(network, config.schedule, trunk=network.trunk, device=device)

    def start_from_imagenet(self, trunk: Path) -> None:
        """Begin with an ImageNet trunk. Raises BadInput when the file holds another network's weights."""
        load_trunk(self.network.trunk, self.config.trunk, trunk)
        self.learner.reset_average()

    def advance(self, samples: Sequence[Batch]) -> dict[str, float]:
        """One optimiser step. Raises FloatingPointError when the loss is not finite."""
        rates = self.learner.set_rates()
        torch.manual_seed((self.config.seed << 32) + self.step)  # dropout, the same after a resume
        self.network.train()
        parts = self.parts(samples)
        loss = torch.stack(tuple(parts.values())).sum()
        self.learner.refuse_nonsense(float(loss.detach()))
        norm = self.learner.descend(loss)
        figures = {name: float(value.detach()) for name, value in parts.items()}
        return {"step": self.step, "loss": float(loss.detach()), **figures, "gradient": norm, **rates}

    @abstractmethod
    def parts(self, samples: Sequence[Batch]) -> dict[str, Tensor]:
        """The losses of a batch by name; their sum is learned from."""

    def autocast(self) -> torch.autocast:
        """bfloat16 where the settings say so."""
        return torch.autocast(self.learner.device.type, torch.bfloat16, enabled=self.config.amp)

    def losses(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Of float32 logits at any stride against (B, H, W) labels.

        Scored at half size, where four times as many crops fit into an hour; see :func:`halved`.
        """
        c = self.config.loss
        halves = halved(labels, np.random.default_rng((self.config.seed, self.step, 1)))
        log_p = resized(logits, halves.shape[-2:]).log_softmax(1)
        return {
            "hard": hard_pixels(log_p, halves, self.weights, sure=c.sure, least=c.least),
            "jaccard": c.jaccard * soft_jaccard(log_p, halves),
        }


class StillTraining(Training[Sample]):
    """The first phase: every frame by itself."""

    def parts(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """The losses of a batch of crops."""
        rgb, labels = on(self.learner.device, samples)
        with self.autocast():
            logits, early = self.network.coarse(rgb)
        cells = labels[..., 4::8, 4::8]
        aux = resized(early.float(), cells.shape[-2:]).log_softmax(1)
        auxiliary = self.config.loss.auxiliary * hard_pixels(aux, cells, self.weights, least=1.0)
        return {**self.losses(logits.float(), labels), "auxiliary": auxiliary}


def on(device: torch.device, samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
    """(B, 3, h, w) float32 and (B, h, w) int64 of ``samples``."""
    rgb = torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2)  # channels last
    labels = torch.from_numpy(np.stack([s.labels for s in samples])).long()
    return rgb.to(device), labels.to(device)


def halved(labels: Tensor, rng: np.random.Generator) -> Tensor:
    """(B, H, W) -> (B, H/2, W/2): one of the four pixels of each 2x2 block, the same one everywhere.

    A cell of half size lies between its four pixels; drawing anew each step keeps edges from moving.
    """
    down, right = rng.integers(0, 2, 2)
    return labels[..., down::2, right::2]
