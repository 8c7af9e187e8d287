"""Frames one by one: each is encoded once, what later frames need of it is kept, the oldest is let go."""

from __future__ import annotations

from collections import deque
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from backends.core.types import Image
from backends.video_semantic.temporal import Memory, SparseTemporal

CUT = 0.35
"""Total variation between the colours of two frames, in [0, 1], from which on they are two scenes.

CamVid's training frames, a second apart, stay below 0.28; of pairs from different drives 95 in 100 are above
0.45.
"""


class Scene(Protocol):
    """What is asked of a network here; ``temporal`` may be None."""

    @property
    def temporal(self) -> SparseTemporal | None:
        """The attention over time."""

    def encode(self, rgb: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, d_t, h, w)."""

    def decode(self, features: Tensor, size_hw: tuple[int, int]) -> Tensor:
        """(B, d_t, h, w) -> (B, n, H, W)."""


class Stream:
    """A clip (or several of one size side by side) as it comes; holds T memories, however long it runs."""

    def __init__(self, network: Scene, *, cut: float = CUT):
        """``cut``: see CUT; 1 or more never sees one."""
        self.network, self._cut = network, cut
        kept = network.temporal.radii.frames if network.temporal is not None else 0
        self._past: deque[Memory] = deque(maxlen=kept)
        self._colours: Tensor | None = None
        self._size_hw: tuple[int, int] | None = None
        self.opened = False
        """Whether the last frame was taken for the first of a clip or a scene."""

    def __len__(self) -> int:
        """How many past frames are held."""
        return len(self._past)

    @property
    def kept_mb(self) -> float:
        """What the past frames take, MB (10^6 bytes)."""
        return sum(t.numel() * t.element_size() for m in self._past for t in (m.keys, m.values)) / 1e6

    def reset(self) -> None:
        """Forget the past: the next frame is the first of another clip."""
        self._past.clear()
        self._colours = self._size_hw = None

    @torch.no_grad()
    def push(self, rgb: Tensor) -> Tensor:
        """The next frame, (3, H, W) or (B, 3, H, W) RGB in [0, 1] -> logits (B, n, H, W).

        The past is forgotten where the size changes or the colours say that another scene begins.
        """
        frame = rgb if rgb.ndim == 4 else rgb[None]
        size_hw = (int(frame.shape[-2]), int(frame.shape[-1]))
        self._begin_anew_if_wanted(frame, size_hw)
        features = self.network.encode(frame)
        temporal = self.network.temporal
        if temporal is not None and temporal.rho:
            current = temporal.project(features)
            features = temporal(current, self._past)
            self._past.append(current.memory)
        return self.network.decode(features, size_hw)

    def _begin_anew_if_wanted(self, frame: Tensor, size_hw: tuple[int, int]) -> None:
        seen = colours(frame)
        if self._colours is not None and (
            size_hw != self._size_hw
            or seen.shape != self._colours.shape
            or apart(seen, self._colours) >= self._cut
        ):
            self.reset()
        self.opened = self._colours is None
        self._colours, self._size_hw = seen, size_hw


def colours(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) RGB in [0, 1] -> (B, 64) shares of the pixels, four levels per channel."""
    step = max(1, min(rgb.shape[-2:]) // 64)
    levels = (rgb[..., ::step, ::step] * 4).long().clamp(0, 3).flatten(2)
    bins = levels[:, 0] * 16 + levels[:, 1] * 4 + levels[:, 2]
    return F.one_hot(bins, 64).float().mean(1)


def apart(one: Tensor, other: Tensor) -> float:
    """Total variation between two histograms of :func:`colours`, in [0, 1]; of several the largest."""
    return float((one - other).abs().sum(1).max()) / 2


def begins_scene(before: Image, frame: Image) -> bool:
    """Whether a stream takes the second of two frames, (H, W, 3) RGB uint8, for the first of a scene."""
    if before.shape != frame.shape:
        return True
    one, other = (
        colours(torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255)
        for picture in (before, frame)
    )
    return apart(one, other) >= CUT


def together(network: Scene, frames: Tensor) -> Tensor:
    """A whole clip at once, (F, 3, H, W) -> logits (F, n, H, W): the answers of a stream without cuts."""
    size_hw = (int(frames.shape[-2]), int(frames.shape[-1]))
    features, temporal = network.encode(frames), network.temporal
    if temporal is not None and temporal.rho:
        projected = temporal.project(features)
        singles = [projected.of(index) for index in range(len(frames))]
        memories = [single.memory for single in singles]
        first = [max(0, index - temporal.radii.frames) for index in range(len(frames))]
        features = torch.cat(
            [
                temporal(single, memories[begin:i])
                for i, (begin, single) in enumerate(zip(first, singles, strict=True))
            ]
        )
    return network.decode(features, size_hw)
