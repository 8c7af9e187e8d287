"""Training of the video object network, resumable to the same result after a kill.

A run folder holds ``config.json``, ``metrics.jsonl``, ``checkpoint.safetensors`` (weights, optimiser, average)
and, at the end, ``weights.safetensors``. Losses and recipe: section 1.7 of the method notes in
``docs/architecture.md``; the running average of the weights is what ships.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from tqdm import tqdm

from backends.core.errors import BadInput
from backends.video_object import sampling, sequences
from backends.video_object.losses import segmentation_loss
from backends.video_object.network import Network, NetworkConfig, aggregate

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
    checkpoint_every: int = 100
    validation: tuple[str, ...] = VALIDATION
    """Sequences that training never sees."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    sample: sampling.SampleConfig = field(default_factory=sampling.SampleConfig)


def config_from(values: Mapping[str, Any]) -> TrainingConfig:
    """Build a config from JSON values; unknown names are refused with the list of known ones."""
    return _build(TrainingConfig, values, "")


def _build(kind: type[Any], values: Mapping[str, Any], where: str) -> Any:
    default = kind()
    known = asdict(default)
    given: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise BadInput(f"unknown training setting {where}{name!r}; known: {', '.join(sorted(known))}")
        current = getattr(default, name)
        if isinstance(current, (NetworkConfig, sampling.SampleConfig)):
            value = _build(type(current), value, f"{name}.")
        elif isinstance(current, tuple):
            value = tuple(value)
        given[name] = value
    return kind(**given)


class Training:
    """One run in one folder: the network, its optimiser and its average, at some step."""

    def __init__(self, config: TrainingConfig, device: str = "cpu"):
        self.config = config
        self.device = torch.device(device)
        torch.manual_seed(config.seed)
        self.network = Network(config.network).to(self.device, memory_format=torch.channels_last)
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
        """Begin with an ImageNet trunk in torchvision's key names (tensors only are read)."""
        state = torch.load(trunk, map_location="cpu", weights_only=True)  # plain tensors, user's own file
        self.network.trunk.load_torchvision(state)
        self._reset_average()

    def _reset_average(self) -> None:
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def advance(self, batch: list[sampling.Sample]) -> dict[str, float]:
        """One optimiser step. Raises FloatingPointError when the loss is not finite."""
        self.network.train()
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * self._schedule()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.amp):
            losses = rollout_losses(self.network, *_tensors(batch, self.device))
        loss = torch.stack(losses).mean()
        if not torch.isfinite(loss):
            raise FloatingPointError(f"loss is {float(loss)} at step {self.step}; the last checkpoint is kept")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
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


def save_atomically(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write safetensors beside ``path``, flush to disk, then rename over it."""
    part = path.with_name(path.name + ".part")
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, part, metadata)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def _tensors(batch: list[sampling.Sample], device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    frames = torch.from_numpy(np.stack([s.frames for s in batch])).permute(0, 1, 4, 2, 3)
    masks = torch.from_numpy(np.stack([s.masks for s in batch]))
    previous = torch.from_numpy(np.stack([s.previous for s in batch]))
    valid = torch.from_numpy(np.stack([s.valid for s in batch]))
    return frames.to(device), masks.to(device), previous.to(device), valid.to(device)


def rollout_losses(
    network: Network, frames: Tensor, masks: Tensor, previous: Tensor, valid: Tensor
) -> list[Tensor]:
    """Segment frames 2 and 3 in a row with the anchor (frame 0) as template; the network's own mask is fed on.

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


def train(
    config: TrainingConfig,
    data: Path,
    run_dir: Path,
    *,
    trunk: Path | None = None,
    start_from: Path | None = None,
    device: str = "cpu",
) -> Path:
    """Run (or go on with) the training in ``run_dir``; returns ``weights.safetensors``.

    Ctrl-C and SIGKILL lose at most ``checkpoint_every`` steps. Raises BadInput when the folder holds a run with
    another config.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    _claim(config, run_dir)
    videos = sequences.load(data, training_names(data, config.validation))
    training = Training(config, device)
    checkpoint = run_dir / "checkpoint.safetensors"
    if checkpoint.is_file():
        training.load(checkpoint)
    elif start_from is not None:
        training.start_from(start_from)
    elif trunk is not None:
        training.start_from_imagenet(trunk)
    try:
        _loop(training, videos, run_dir)
    finally:
        if training.step:
            training.save(checkpoint)
    weights = run_dir / "weights.safetensors"
    save_weights(training.average, config.network, weights)
    return weights


def _loop(training: Training, videos: list[sequences.VideoSequence], run_dir: Path) -> None:
    config, start = training.config, training.step
    bar = tqdm(total=config.steps, initial=start, desc="training", unit="step")
    with bar, (run_dir / "metrics.jsonl").open("a") as log:
        for batch in _batches(videos, config, start):
            figures = training.advance(batch)
            log.write(json.dumps({k: round(v, 5) for k, v in figures.items()}, allow_nan=False) + "\n")
            log.flush()
            bar.set_postfix(loss=f"{figures['loss']:.3f}")
            bar.update()
            if training.step % config.checkpoint_every == 0:
                training.save(run_dir / "checkpoint.safetensors")


def _batches(
    videos: list[sequences.VideoSequence], config: TrainingConfig, start: int
) -> Iterator[list[sampling.Sample]]:
    """Batches of steps start, start+1, …; the next one is drawn while the network works."""

    def make(step: int) -> list[sampling.Sample]:
        first = step * config.batch
        return [sampling.draw(videos, config.sample, config.seed, first + i) for i in range(config.batch)]

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make, start)
        for step in range(start, config.steps):
            batch = coming.result()
            coming = pool.submit(make, step + 1)
            yield batch


def training_names(data: Path, validation: tuple[str, ...]) -> list[str]:
    """All sequences below ``data`` but those kept for validation."""
    folder = data / "JPEGImages"
    folder = folder / "480p" if (folder / "480p").is_dir() else folder
    if not folder.is_dir():
        raise BadInput(f"{data} holds no JPEGImages folder; training wants the DAVIS layout")
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name not in validation)


def _claim(config: TrainingConfig, run_dir: Path) -> None:
    path, text = run_dir / "config.json", json.dumps(asdict(config), indent=1)
    if path.is_file() and path.read_text() != text:
        raise BadInput(f"{run_dir} holds a run with another config; choose another --out or the same settings")
    path.write_text(text)


def save_weights(state: Mapping[str, Tensor], config: NetworkConfig, path: Path) -> None:
    """The weights that are served: half precision, with the network's config as metadata."""
    half = {k: v.half() for k, v in state.items()}
    save_atomically(half, path, {"algorithm": "video_object", "network": json.dumps(config.as_dict())})
