"""One training at some step: the network, its optimiser, the running average of its weights (which ships).

Clicks are simulated on the network's own masks (Mahadevan et al., BMVC 2018; Sofiiuk et al., ICIP 2022): some
rounds without gradients first, each adding a click in the largest error, then the round that is learned
from. The first answer is learned from every time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from backends.clicks import prompts, simulate
from backends.clicks.network import ClickNetwork
from backends.clicks.prompts import Click
from backends.clicks.recipe import TrainingConfig
from backends.clicks.sampling import Sample
from backends.clicks.weights_file import save_atomically
from backends.core.types import Mask
from backends.trunks.catalogue import load_weights

Features = tuple[Tensor, Tensor, Tensor, Tensor]


class Training:
    """One run in one folder: the network, its optimiser and its average, at some step."""

    def __init__(self, config: TrainingConfig, device: str = "cpu"):
        self.config = config
        self.device = torch.device(device)
        torch.manual_seed(config.seed)
        self.network = ClickNetwork(config.network).to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        trunk = list(self.network.trunk.parameters())
        known = {id(p) for p in trunk}
        rest = [p for p in self.network.parameters() if id(p) not in known]
        groups = [
            {"params": rest, "peak": config.learning_rate},
            {"params": trunk, "peak": config.trunk_rate},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=0.0, weight_decay=config.weight_decay)
        self.average = self._state()
        self.step = 0

    def start_from(self, weights: Path) -> None:
        """Begin with the weights of another run (safetensors)."""
        with safe_open(weights, framework="pt") as file:
            state = {k: file.get_tensor(k).float() for k in file.keys()}  # noqa: SIM118 - not a dict
        self.network.load_state_dict(state, strict=False)  # counts of batches are not kept
        self.average = self._state()

    def start_from_imagenet(self, trunk: Path) -> None:
        """Begin with an ImageNet trunk. Raises BadInput when the file holds another network's weights."""
        load_weights(self.network.trunk, self.config.network.trunk, trunk)
        self.average = self._state()

    def advance(self, samples: Sequence[Sample]) -> dict[str, float]:
        """One optimiser step. Raises FloatingPointError when the loss is not finite."""
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * self._schedule()
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.amp):
            losses, overlaps = self._losses(samples)
        loss = torch.stack(losses).mean()
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"loss is {float(loss)} at step {self.step}; the last checkpoint is kept"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self._update_average()
        return {
            "step": self.step,
            "loss": float(loss.detach()),
            "iou_first": overlaps[0],
            "iou_last": overlaps[-1],
            "rounds": len(overlaps),
            "gradient": float(norm),
        }

    def _losses(self, samples: Sequence[Sample]) -> tuple[list[Tensor], list[float]]:
        rng = np.random.default_rng((self.config.seed, self.step, 1))
        shares = np.asarray(self.config.rounds)
        rounds = 1 + int(rng.choice(len(shares), p=shares / shares.sum()))
        rgb = torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2).to(self.device)
        target = torch.from_numpy(np.stack([s.mask for s in samples])[:, None].astype(np.float32))
        target = target.to(self.device)
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
        maps, places, signs = (torch.from_numpy(x).to(self.device) for x in batch_of(said))
        if learns:
            logits: Tensor = self.network(features, maps, places, signs)
            return logits
        self.network.eval()
        with torch.no_grad():
            logits = self.network(tuple(x.detach() for x in features), maps, places, signs)
        self.network.train()
        return logits

    def _schedule(self) -> float:
        c = self.config
        if self.step < c.warm_up:
            return (self.step + 1) / c.warm_up
        done = (self.step - c.warm_up) / max(1, c.steps - c.warm_up)
        return 0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * min(1.0, done))))

    def _state(self) -> dict[str, Tensor]:
        state = self.network.state_dict()
        return {k: v.detach().clone() for k, v in state.items() if v.is_floating_point()}

    def _update_average(self) -> None:
        decay = min(self.config.average, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            if name in self.average:
                self.average[name].lerp_(value.detach(), 1 - decay)

    def save(self, path: Path) -> None:
        """Everything needed to go on, tensors only, atomically."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
        save_atomically(tensors, path, {"step": str(self.step)})

    def load(self, path: Path) -> None:
        """Go on from :meth:`save`."""
        with safe_open(path, framework="pt", device=str(self.device)) as file:
            self.step = int(file.metadata()["step"])
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        self.network.load_state_dict(_under(tensors, "network."))
        self.average = _under(tensors, "average.")
        full = self.optimiser.state_dict()
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(tensors, "optimiser.").items():
            index, key = name.split(".", 1)
            states.setdefault(int(index), {})[key] = value
        full["state"] = states
        self.optimiser.load_state_dict(full)


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


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
