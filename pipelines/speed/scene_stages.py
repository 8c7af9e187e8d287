"""What is timed of the attention over time: whole frames with and without it, and the module alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.video_semantic.networks import ENCODERS, NetworkConfig, SceneNetwork, build
from backends.video_semantic.stream import Stream
from backends.video_semantic.temporal import Projected, SparseTemporal, TemporalConfig
from backends.video_semantic.weights_file import load_weights
from pipelines.speed.plan import Scene

_CLASSES = 11  # as CamVid has; they cost next to nothing
_CLIP = 24  # frames that come round and round


@dataclass(frozen=True)
class ScenePlan:
    """Sizes and repetitions."""

    frame_hw: tuple[int, int] = (360, 480)
    """The frame of the main figures, (rows, columns) in px."""
    encoders: tuple[str, ...] = tuple(ENCODERS)
    """Networks of the main table."""
    slow: tuple[str, ...] = ("psp50", "psp101")
    """Those that take seconds per frame: two rounds of one frame."""
    channels: int = 256
    """d_t of the growth tables."""
    grid: tuple[int, int] = (45, 60)
    """Cells of the growth over T and over rho."""
    grids: tuple[tuple[int, int], ...] = ((23, 30), (32, 43), (45, 60), (64, 85), (90, 120))
    """Cells of the growth over the size of the map."""
    beside_full: tuple[tuple[int, int], ...] = ((16, 32), (32, 64), (64, 128))
    """Cells at which full attention runs too."""
    frames: tuple[int, ...] = (1, 2, 3, 5, 7)
    rhos: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    rounds: int = 7
    laps: int = 3
    """Frames, or runs of the module, per figure and round."""
    usual: TemporalConfig = field(default_factory=TemporalConfig)
    """T = 7, rho = .5, windows (1, 5, 1)."""


WHOLE = ScenePlan()
QUICK = ScenePlan(
    encoders=("mobilenet_v2", "bise18"),
    grids=((23, 30), (45, 60)),
    beside_full=((8, 16), (16, 32), (32, 64)),
    frames=(1, 7),
    rounds=2,
    laps=2,
)


def network_of(encoder: str, config: TemporalConfig) -> SceneNetwork:
    """A network that was never trained: as slow as a trained one."""
    torch.manual_seed(0)
    return build(NetworkConfig(encoder, classes=_CLASSES, looks_back=True, temporal=config)).eval()


def networks_of(weights: Path | None, plan: ScenePlan) -> dict[str, SceneNetwork]:
    """Encoder -> network, that of ``weights`` in its place; one without attention over time gets one."""
    networks = {name: network_of(name, plan.usual) for name in plan.encoders}
    if weights is not None:
        loaded = load_weights(weights)
        if loaded.network.temporal is None:
            loaded.network.temporal = SparseTemporal(loaded.network.channels, plan.usual).eval()
        networks[loaded.config.encoder] = loaded.network
    return networks


class FrameLaps:
    """Frames of a swaying scene through a stream: to class ids at the frame's size, as a user has them.

    ``rho`` 0 is the single-frame network: nothing is projected, kept or looked up.
    """

    def __init__(self, network: SceneNetwork, frame_hw: tuple[int, int], rho: float):
        self._network, self._rho = network, rho
        frames = Scene(frame_hw, 9).clip(_CLIP).frames
        self._frames = [as_tensor(frames[index]) for index in range(_CLIP)]
        self._stream, self._at = Stream(network), 0

    @torch.inference_mode()
    def __call__(self) -> Tensor:
        """The next frame."""
        temporal = self._network.temporal
        assert temporal is not None
        temporal.rho = self._rho
        self._at = (self._at + 1) % len(self._frames)
        return self._stream.push(self._frames[self._at]).argmax(1)

    @property
    def kept_mb(self) -> float:
        """What the stream holds of past frames, MB."""
        return self._stream.kept_mb

    @property
    def grid(self) -> tuple[int, int]:
        """Cells (h, w) of a frame's features."""
        with torch.inference_mode():
            height, width = self._network.encode(self._frames[0][None]).shape[-2:]
        return int(height), int(width)


def as_tensor(image: Any) -> Tensor:
    """(H, W, 3) uint8 -> (3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255.0


@dataclass(frozen=True)
class Module:
    """The attention over time alone, on drawn maps: smooth, so that hard cells lie together as in frames."""

    config: TemporalConfig
    channels: int
    grid: tuple[int, int]

    def lap(self) -> Callable[[], Tensor]:
        """Project a frame's features and look back: what a frame pays beyond the single-frame network."""
        module, current, past = self._made()
        return torch.inference_mode()(lambda: module(module.project(current.features), past))

    def reading(self) -> Callable[[], Tensor]:
        """Its attention alone, for the cells that are selected."""
        module, current, past = self._made()
        plan = torch.inference_mode()(lambda: module.plan(current, len(past)))()
        return torch.inference_mode()(lambda: module.read(current, plan, past))

    def full(self) -> Callable[[], Tensor]:
        """Full attention: every cell beside every cell of all past frames, by torch's own fused kernel."""
        module, current, past = self._made()
        shape = (1, -1, module.heads, current.reduced.shape[-1] // module.heads)
        query, *rest = (
            current.reduced,
            *(torch.cat([getattr(m, k) for m in past]) for k in ("keys", "values")),
        )
        keys, values = (tensor.reshape(shape).transpose(1, 2) for tensor in rest)

        @torch.inference_mode()
        def lap() -> Tensor:
            asked = module.to_query(query).reshape(shape).transpose(1, 2)
            return F.scaled_dot_product_attention(asked, keys, values)

        return lap

    @torch.inference_mode()
    def _made(self) -> tuple[SparseTemporal, Projected, list[Any]]:
        torch.manual_seed(0)
        module = SparseTemporal(self.channels, replace(self.config)).eval()
        height, width = self.grid
        coarse = torch.randn(self.config.frames + 1, self.channels, height // 4 + 2, width // 4 + 2)
        maps = F.interpolate(coarse, size=self.grid, mode="bicubic")
        frames = [module.project(one[None]) for one in maps]
        return module, frames[-1], [frame.memory for frame in frames[:-1]]


def count_macs(network: nn.Module, run: Callable[[], object]) -> float:
    """Multiplications and additions of the convolutions and linear layers in one ``run``."""
    found = 0.0

    def note(layer: nn.Module, _: Any, out: Tensor) -> None:
        nonlocal found
        if isinstance(layer, nn.Conv2d):
            kernel = layer.kernel_size[0] * layer.kernel_size[1]
            found += out.numel() * kernel * layer.in_channels / layer.groups
        elif isinstance(layer, nn.Linear):
            found += out.numel() * layer.in_features

    handles = [layer.register_forward_hook(note) for layer in network.modules()]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return found
