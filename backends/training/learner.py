"""A network that learns: its AdamW with a warm-up and a cosine, and the running average that ships."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from backends.training import distributed
from backends.training.files import read_tensors, save_atomically, under

_FLOOR = 0.02  # of the peak rate, at the end of the cosine


@dataclass(frozen=True)
class Schedule:
    """How far each step goes."""

    steps: int
    """Length of the cosine."""
    learning_rate: float = 1e-3
    """Peak rate of everything but the trunk."""
    trunk_rate: float = 1e-4
    """Peak rate of the trunk."""
    weight_decay: float = 1e-4
    warm_up: int = 100
    """Steps of linear warm-up before the cosine."""
    average: float = 0.998
    """Decay of the running average of the weights."""

    def at(self, step: int) -> float:
        """The share of the peak rates at ``step`` (0-based)."""
        if step < self.warm_up:
            return (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return _FLOOR + (1 - _FLOOR) * 0.5 * (1 + float(np.cos(np.pi * min(1.0, done))))


class Learner:
    """One network at some step of its training. ``trunk``, a part of it, learns at a rate of its own."""

    def __init__(
        self, network: nn.Module, schedule: Schedule, *, trunk: nn.Module | None = None, device: str = "cpu"
    ):
        self.device = torch.device(device)
        self.network = network.to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.schedule = schedule
        low = [] if trunk is None else list(trunk.parameters())
        known = {id(p) for p in low}
        heads = [p for p in network.parameters() if id(p) not in known]
        groups = [{"params": heads, "peak": schedule.learning_rate}]
        groups += [{"params": low, "peak": schedule.trunk_rate}] if low else []
        self.optimiser = torch.optim.AdamW(groups, lr=0.0, weight_decay=schedule.weight_decay)
        self.average: dict[str, Tensor] = {}
        self.step = 0
        self.reset_average()

    def take_over(self, state: Mapping[str, Tensor]) -> list[str]:
        """Begin with whatever of ``state`` fits by name and shape; returns the names that begin fresh."""
        own = self.network.state_dict()
        fits = {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}
        self.network.load_state_dict(fits, strict=False)
        self.reset_average()
        return sorted(set(own) - set(fits))

    def reset_average(self) -> None:
        """Let the average begin at the network as it is: to be called when its weights were set."""
        self.average = {k: v.detach().clone() for k, v in self._state().items()}

    def set_rates(self) -> dict[str, float]:
        """Set this step's rates; returns them by name for the log."""
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * self.schedule.at(self.step)
        rates = (group["lr"] for group in self.optimiser.param_groups)
        return dict(zip(("rate", "trunk_rate"), rates, strict=False))

    def refuse_nonsense(self, loss: float) -> None:
        """Raise FloatingPointError when ``loss`` is not finite."""
        if not np.isfinite(loss):
            raise FloatingPointError(f"loss is {loss} at step {self.step}; the last checkpoint is kept")

    def descend(self, loss: Tensor) -> float:
        """One step on ``loss``, a finite scalar; returns the norm of the gradient before clipping."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        distributed.average_gradients(self.network)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self._update_average()
        return float(norm)

    def save(self, path: Path) -> None:
        """Everything needed to go on, tensors only, atomically."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
        save_atomically(tensors, path, {"step": str(self.step)})

    def load(self, path: Path) -> None:
        """Go on from :meth:`save`."""
        tensors, about = read_tensors(path, str(self.device))
        self.step = int(about["step"])
        self.network.load_state_dict(under(tensors, "network."))
        self.average = under(tensors, "average.")
        full = self.optimiser.state_dict()
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in under(tensors, "optimiser.").items():
            index, key = name.split(".", 1)
            states.setdefault(int(index), {})[key] = value
        full["state"] = states
        self.optimiser.load_state_dict(full)

    def _state(self) -> dict[str, Tensor]:
        return {k: v for k, v in self.network.state_dict().items() if v.is_floating_point()}

    def _update_average(self) -> None:
        decay = min(self.schedule.average, (1 + self.step) / (10 + self.step))
        for name, value in self._state().items():
            self.average[name].lerp_(value.detach(), 1 - decay)
