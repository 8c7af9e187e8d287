"""One training at some step: the network, its optimiser, the running average of its weights (which ships).

The template is orthogonalised inside every forward pass with its map held constant; the network's own mask is
fed on from one frame to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from backends.core.errors import BadInput
from backends.trunks import torch_zip
from backends.video_object.losses import segmentation_loss
from backends.video_object.network import Network, aggregate
from backends.video_object.recipe import TrainingConfig
from backends.video_object.sampling import Sample
from backends.video_object.weights_file import save_atomically


class Training:
    """One run in one folder: the network, its optimiser and its average, at some step."""

    def __init__(self, config: TrainingConfig, device: str = "cpu"):
        self.config = config
        self.device = torch.device(device)
        torch.manual_seed(config.seed)
        self.network = Network(config.network).to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        trunk = list(self.network.trunk.parameters())
        known = {id(p) for p in trunk}
        heads = [p for p in self.network.parameters() if id(p) not in known]
        groups = [
            {"params": heads, "peak": config.learning_rate},
            {"params": trunk, "peak": config.trunk_rate},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=0.0, weight_decay=config.weight_decay)
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.step = 0

    def start_from(self, weights: Path) -> None:
        """Begin with the weights of another run (safetensors)."""
        with safe_open(weights, framework="pt") as file:
            state = {k: file.get_tensor(k).float() for k in file.keys()}  # noqa: SIM118 - not a dict
        self.network.load_state_dict(state)
        self._reset_average()

    def start_from_imagenet(self, trunk: Path) -> None:
        """Begin with an ImageNet trunk in torchvision's key names (a zipped torch file or safetensors).

        Raises BadInput when the file holds anything but tensors, or another network's.
        """
        state = load_file(trunk) if trunk.suffix == ".safetensors" else torch_zip.read(trunk)
        try:
            self.network.trunk.load_torchvision(state)
        except (KeyError, ValueError) as error:
            raise BadInput(f"{trunk} does not fit MobileNetV2: {error}") from error
        self._reset_average()

    def _reset_average(self) -> None:
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def advance(self, batch: list[Sample]) -> dict[str, float]:
        """One optimiser step. Raises FloatingPointError when the loss is not finite."""
        self.network.train()
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * self._schedule()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.amp):
            losses = rollout_losses(self.network, *_tensors(batch, self.device))
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
            "first": float(losses[0].detach()),
            "last": float(losses[-1].detach()),
            "gradient": float(norm),
        }

    def _schedule(self) -> float:
        c = self.config
        if self.step < c.warm_up:
            return (self.step + 1) / c.warm_up
        done = (self.step - c.warm_up) / max(1, c.steps - c.warm_up)
        return 0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * min(1.0, done))))

    def _update_average(self) -> None:
        decay = min(self.config.average, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
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


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _tensors(batch: list[Sample], device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    frames = torch.from_numpy(np.stack([s.frames for s in batch])).permute(0, 1, 4, 2, 3)
    masks = torch.from_numpy(np.stack([s.masks for s in batch]))
    previous = torch.from_numpy(np.stack([s.previous for s in batch]))
    valid = torch.from_numpy(np.stack([s.valid for s in batch]))
    return frames.to(device), masks.to(device), previous.to(device), valid.to(device)


def rollout_losses(
    network: Network, frames: Tensor, masks: Tensor, previous: Tensor, valid: Tensor
) -> list[Tensor]:
    """Segment frames 2 and 3 in a row, the anchor (frame 0) as template; the network's own mask is fed on.

    ``frames`` (B, 4, 3, H, W); ``masks`` (B, 4, K, H, W); ``previous`` (B, K, H, W) fed as frame 1's mask.
    """
    size = frames.shape[-2:]
    flat = frames.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    encodings = _split(network.encode(flat), frames.shape[0], frames.shape[1])
    cells = F.avg_pool2d(masks[:, 0], 16).flatten(2)
    template = network.template(encodings[0].embedded, cells)
    before = F.avg_pool2d(previous, 4)
    losses = []
    for t in range(2, frames.shape[1]):
        logits = network.decode(encodings[t], template, encodings[t - 1], before)
        slots = aggregate(_only_valid(logits, valid))
        full = F.interpolate(slots, size=size, mode="bilinear", align_corners=False)
        losses.append(segmentation_loss(full, masks[:, t], valid))
        before = slots.softmax(1)[:, 1:].detach()
    return losses


def _only_valid(logits: Tensor, valid: Tensor) -> Tensor:
    return torch.where(valid[..., None, None], logits.float(), logits.new_tensor(-20.0, dtype=torch.float32))


def _split(encoding: Any, batch: int, times: int) -> list[Any]:
    kind = type(encoding)
    parts = {}
    for name in ("embedded", "skip16", "skip8", "skip4"):
        parts[name] = getattr(encoding, name).unflatten(0, (batch, times)).unbind(1)
    return [kind(encoding.grid_hw, **{k: v[t] for k, v in parts.items()}) for t in range(times)]
