"""One training at some step: the network and what is learned from a batch.

Clicks are simulated on the network's own masks (Mahadevan et al., BMVC 2018; Sofiiuk et al., ICIP 2022): some
rounds without gradients first, each adding a click in the largest error, then the round that is learned
from. The first answer is learned from every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from backends.clicks import prompts, simulate
from backends.clicks.network import ClickNetwork
from backends.clicks.prompts import Click
from backends.clicks.recipe import TrainingConfig
from backends.clicks.sampling import Sample
from backends.core.types import Mask
from backends.training.files import read_tensors
from backends.training.learner import Learner
from backends.trunks.catalogue import load_weights

Features = tuple[Tensor, Tensor, Tensor, Tensor]


class Training:
    """One run in one folder: the network and its learner, at some step."""

    def __init__(self, config: TrainingConfig, device: str = "cpu"):
        self.config = config
        torch.manual_seed(config.seed)
        self.network = ClickNetwork(config.network)
        self.learner = Learner(self.network, config.schedule, trunk=self.network.trunk, device=device)

    @property
    def step(self) -> int:
        """Steps made."""
        return self.learner.step

    @property
    def average(self) -> dict[str, Tensor]:
        """The running average of the weights: what ships."""
        return self.learner.average

    def start_from(self, weights: Path) -> None:
        """Begin with the weights of another run (safetensors)."""
        self.learner.take_over({k: v.float() for k, v in read_tensors(weights)[0].items()})

    def start_from_imagenet(self, trunk: Path) -> None:
        """Begin with an ImageNet trunk. Raises BadInput when the file holds another network's weights."""
        load_weights(self.network.trunk, self.config.network.trunk, trunk)
        self.learner.reset_average()

    def advance(self, samples: Sequence[Sample]) -> dict[str, float]:
        """One optimiser step. Raises FloatingPointError when the loss is not finite."""
        rates = self.learner.set_rates()
        self.network.train()
        with torch.autocast(self.learner.device.type, torch.bfloat16, enabled=self.config.amp):
            losses, overlaps = self._losses(samples)
        loss = torch.stack(losses).mean()
        self.learner.refuse_nonsense(float(loss.detach()))
        norm = self.learner.descend(loss)
        return {
            "step": self.step,
            "loss": float(loss.detach()),
            "iou_first": overlaps[0],
            "iou_last": overlaps[-1],
            "rounds": len(overlaps),
            "gradient": norm,
            **rates,
        }

    def save(self, path: Path) -> None:
        """Everything needed to go on."""
        self.learner.save(path)

    def load(self, path: Path) -> None:
        """Go on from :meth:`save`."""
        self.learner.load(path)

    def _losses(self, samples: Sequence[Sample]) -> tuple[list[Tensor], list[float]]:
        rng = np.random.default_rng((self.config.seed, self.step, 1))
        shares = np.asarray(self.config.rounds)
        rounds = 1 + int(rng.choice(len(shares), p=shares / shares.sum()))
        rgb = (
            torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2).to(self.learner.device)
        )
        target = torch.from_numpy(np.stack([s.mask for s in samples])[:, None].astype(np.float32))
        target = target.to(self.learner.device)
        features = self.network.encode(rgb)
        said = [Said(sample, rng) for sample in samples]
        losses, overlaps = [], []
        for number in range(rounds):
            for one in said:
                one.ask_next()
            learns = number in (0, rounds - 1)
            logits = self._answer(features, said, learns=learns)
            if learns:
                losses.append(mask_loss(logits, target))
            for one, mask in zip(said, _masks(logits), strict=True):
                one.before = mask
            overlaps.append(float(np.mean([one.overlap() for one in said])))
        return losses, overlaps

    def _answer(self, features: Features, said: Sequence[Said], *, learns: bool) -> Tensor:
        """Logits (B, 1, H/2, W/2); without ``learns`` as in service: no gradients, no statistics moved."""
        maps, places, signs = (torch.from_numpy(x).to(self.learner.device) for x in batch_of(said))
        if learns:
            logits: Tensor = self.network(features, maps, places, signs)
            return logits
        self.network.eval()
        with torch.no_grad():
            logits = self.network(tuple(x.detach() for x in features), maps, places, signs)
        self.network.train()
        return logits


class Said:
    """What a simulated person has said of one sample, and the mask they see."""

    def __init__(self, sample: Sample, rng: np.random.Generator):
        self.truth = sample.mask
        self.boxes = [] if sample.box is None else [sample.box]
        self.before: Mask | None = sample.before
        self.clicks: list[Click] = []
        self._fresh_box = bool(self.boxes)  # a box is an answer of its own; clicks come after it
        self._rng = rng

    def ask_next(self) -> None:
        """One more click, in the largest error."""
        if self._fresh_box:
            self._fresh_box = False
            return
        shown = np.zeros_like(self.truth) if self.before is None else self.before
        click = simulate.loose_click(shown, self.truth, self._rng, self.clicks)
        if click is not None:
            self.clicks.append(click)

    def overlap(self) -> float:
        """IoU of the mask they see, 0..1."""
        assert self.before is not None
        return float((self.before & self.truth).sum() / max(1, (self.before | self.truth).sum()))


def batch_of(said: Sequence[Said]) -> tuple[prompts.Float, prompts.Float, prompts.Float]:
    """Maps (B, 6, H/4, W/4), places (B, N, 2) and signs (B, N)."""
    size_hw = (said[0].truth.shape[0], said[0].truth.shape[1])
    most = max(1, *(len(one.clicks) for one in said)) if len(said) > 1 else max(1, len(said[0].clicks))
    maps = np.stack([prompts.draw_maps(size_hw, one.clicks, one.boxes, one.before) for one in said])
    listed = [prompts.list_clicks(size_hw, one.clicks, most) for one in said]
    return maps, np.stack([places for places, _ in listed]), np.stack([signs for _, signs in listed])


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy, half of it on the hardest fifth of the pixels, plus Dice. ``logits`` are at half the
    size of ``target`` (B, 1, H, W) in {0, 1}."""
    wanted = F.avg_pool2d(target, 2)
    found = logits.float()
    pixel = F.binary_cross_entropy_with_logits(found, wanted, reduction="none").flatten(1)
    hard = pixel.topk(max(1, pixel.shape[1] // 5), dim=1).values.mean()
    p, m = found.sigmoid().flatten(1), wanted.flatten(1)
    dice = 1 - (2 * (p * m).sum(1) + 1) / (p.sum(1) + m.sum(1) + 1)
    return 0.5 * pixel.mean() + 0.5 * hard + dice.mean()


def _masks(logits: Tensor) -> list[Mask]:
    full = F.interpolate(logits.detach().float(), scale_factor=2, mode="bilinear", align_corners=False)
    return list((full[:, 0] > 0).cpu().numpy())
