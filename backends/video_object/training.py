"""One training at some step: the network and what is learned from a batch.

The template is orthogonalised inside every forward pass with its map held constant; the network's own mask is
fed on from one frame to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from backends.core.errors import BadInput
from backends.training import distributed
from backends.training.files import read_tensors
from backends.training.learner import Learner
from backends.trunks import catalogue
from backends.video_object import centres, template
from backends.video_object.losses import centre_loss, segmentation_loss
from backends.video_object.network import Encoding, Network, aggregate
from backends.video_object.recipe import TrainingConfig
from backends.video_object.sampling import Sample
from backends.video_object.template import Template


class Training:
    """One run in one folder: the network and its learner, at some step."""

    def __init__(self, config: TrainingConfig, device: str = "cpu"):
        self.config = config
        torch.manual_seed(config.seed)
        self.network = Network(config.network)
        self.learner = Learner(self.network, config.schedule, trunk=self.network.trunk, device=device)

    @property
    def step(self) -> int:
        """Steps made."""
        return self.learner.step

    @property
    def average(self) -> dict[str, Tensor]:
        """The running average of the weights: what ships."""
        return self.learner.average

    def start_from(self, weights: Path) -> list[str]:
        """Begin with the weights of another run (safetensors); returns the names that begin fresh instead.

        Whatever fits by name and shape is taken over, so that a network with another decoder or other heads
        can begin with a trained trunk and embedding. Raises BadInput when not even the trunk fits.
        """
        state = {k: v.float() for k, v in read_tensors(weights)[0].items()}
        own = self.network.state_dict()
        if not all(k in state and state[k].shape == own[k].shape for k in own if k.startswith("trunk.")):
            raise BadInput(f"{weights} holds another trunk than {self.config.network.trunk}")
        return self.learner.take_over(state)

    def start_from_imagenet(self, trunk: Path) -> None:
        """Begin with an ImageNet trunk in torchvision's key names (a zipped torch file or safetensors).

        Raises BadInput when the file holds anything but tensors, or another network's.
        """
        catalogue.load_weights(self.network.trunk, self.config.network.trunk, trunk)
        self.learner.reset_average()

    def advance(self, batch: list[Sample]) -> dict[str, float]:
        """One optimiser step on this process's share of a batch.

        Raises FloatingPointError, in every process, when the loss is not finite.
        """
        self.network.train()
        rates, device = self.learner.set_rates(), self.learner.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.config.amp):
            losses = rollout_losses(self.network, Batch.of(batch, device), self.config)
        loss = torch.stack(losses).mean()
        figures = distributed.average({"loss": loss, "first": losses[0], "last": losses[-1]})
        self.learner.refuse_nonsense(figures["loss"])
        norm = self.learner.descend(loss)
        return {"step": self.step, **figures, "gradient": norm, **rates}

    def save(self, path: Path) -> None:
        """Everything needed to go on."""
        self.learner.save(path)

    def load(self, path: Path) -> None:
        """Go on from :meth:`save`."""
        self.learner.load(path)


@dataclass(frozen=True)
class Batch:
    """Samples as tensors, T = 4 frames, K slots: see Sample."""

    frames: Tensor  # (B, T, 3, H, W)
    masks: Tensor  # (B, T, K, H, W)
    previous: Tensor  # (B, K, H, W)
    valid: Tensor  # (B, K)
    others: Tensor  # (B, T, H, W)
    remember: Tensor  # (B,)
    guess: Tensor  # (B, K, 2)

    @staticmethod
    def of(samples: list[Sample], device: torch.device) -> Batch:
        """Stack samples on ``device``."""

        def stack(name: str) -> Tensor:
            return torch.from_numpy(np.stack([getattr(s, name) for s in samples])).to(device)

        frames = stack("frames").permute(0, 1, 4, 2, 3)
        rest = (stack(name) for name in ("masks", "previous", "valid", "others", "remember", "guess"))
        return Batch(frames, *rest)


def rollout_losses(network: Network, batch: Batch, config: TrainingConfig) -> list[Tensor]:
    """Segment frames 2 and 3 in a row, the anchor (frame 0) as template; the network's own mask is fed on.

    Where a sample says so the last frame joins the template with the mask that is fed on.
    """
    frames, masks, valid = batch.frames, batch.masks, batch.valid
    flat = frames.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    encodings = _split(network.encode(flat), frames.shape[0], frames.shape[1])
    anchor = template.condense(
        encodings[0].embedded, F.avg_pool2d(masks[:, 0], 16).flatten(2), encodings[0].grid_hw
    )
    before = F.avg_pool2d(batch.previous, 4)
    losses = []
    for t in range(2, frames.shape[1]):
        memory = _with_memory(network, anchor, encodings[t - 1], before, batch.remember)
        prior = _guessed(centres.prior_of(before, 4), batch.guess)
        decoded = network.decode(encodings[t], memory, encodings[t - 1], before, prior)
        slots = aggregate(_only_valid(decoded.logits, valid))
        full = F.interpolate(slots, size=frames.shape[-2:], mode="bilinear", align_corners=False)
        loss = segmentation_loss(full, masks[:, t], valid, hardest=config.hardest)
        centre = centre_loss(decoded, masks[:, t], batch.others[:, t], valid)
        losses.append(loss + config.centre_weight * centre)
        before = slots.softmax(1)[:, 1:].detach()
    return losses


def _with_memory(
    network: Network, anchor: tuple[Tensor, Tensor], last: Encoding, masks: Tensor, remember: Tensor
) -> Template:
    """The template of the anchor's rows and, where ``remember``, of the last frame's pooled rows."""
    cells = F.avg_pool2d(masks, 4).flatten(2)
    rows, shares = template.coarse(last.embedded, cells, last.grid_hw, 2)
    rows = rows * remember[:, None, None]
    shares = torch.where(remember[:, None, None], shares, -1.0)
    return network.template(torch.cat((anchor[0], rows), 1), torch.cat((anchor[1], shares), 2))


def _guessed(prior: centres.Prior, guess: Tensor) -> centres.Prior:
    """Centres moved by up to a third of the spread: the true one is never known exactly."""
    moved = prior.centre + guess * prior.spread[..., None] / 3
    return centres.Prior(moved, prior.spread, prior.weight)


def _only_valid(logits: Tensor, valid: Tensor) -> Tensor:
    return torch.where(valid[..., None, None], logits.float(), logits.new_tensor(-20.0, dtype=torch.float32))


def _split(encoding: Encoding, batch: int, times: int) -> list[Encoding]:
    parts = {}
    for name in ("embedded", "near16", "near8", "near4"):
        parts[name] = getattr(encoding, name).unflatten(0, (batch, times)).unbind(1)
    return [Encoding(encoding.grid_hw, **{k: v[t] for k, v in parts.items()}) for t in range(times)]
