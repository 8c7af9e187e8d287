"""Sparse temporal attention between encoder and decoder: hard cells of the current frame look back.

Source: STT (Li et al., "Video Semantic Segmentation via Sparse Temporal Transformer", ACM MM 2021). What the
paper leaves open is written down in docs/decisions/0027.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.core.errors import BadInput
from backends.video_semantic.attention import Plan, attend
from backends.video_semantic.keys import Radii
from backends.video_semantic.selection import Queries, scorer, select


@dataclass(frozen=True)
class TemporalConfig:
    """How a network looks back; stored with its weights."""

    frames: int = 7
    """T: past frames that are kept."""
    start: int = 1
    end: int = 5
    step: int = 1
    """s, e, eps: radius of the windows, in cells; see Radii."""
    rho: float = 0.5
    """Share of cells that look back; at 0 the network is the single-frame network."""
    queries: Queries = "nsm"
    """Which cells: nsm, or a control (random, gradient)."""
    radius: int = 5
    """r: neighbourhood of NSM, in cells."""
    keys: Literal["past", "copies"] = "past"
    """copies: the control that sees the current frame T times, and so has the capacity without the time."""
    first: Literal["off", "self"] = "off"
    """A frame without past is left as it is, or looks at itself."""
    width: int = 0
    """d: channels inside; 0 means a quarter of the features', or what the network says."""
    heads: int = 0
    """0 means one per 32 channels of ``width``, at most 8."""
    ffn: int = 4
    """Width of the feed-forward part, in multiples of ``width``."""

    @property
    def radii(self) -> Radii:
        """The windows by age."""
        return Radii(self.frames, self.start, self.end, self.step)

    def width_for(self, channels: int) -> int:
        """d for features of ``channels``."""
        return self.width or max(8, channels // 4)

    def heads_for(self, channels: int) -> int:
        """Heads for features of ``channels``."""
        return self.heads or min(8, max(1, self.width_for(channels) // 32))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Memory:
    """What later frames need of one frame: keys and values, each (B h w, heads, d / heads)."""

    keys: Tensor
    values: Tensor
    shape: tuple[int, int, int]
    """(B, h, w)."""

    def of(self, sample: int) -> Memory:
        """One sample of the batch."""
        _, height, width = self.shape
        rows = slice(sample * height * width, (sample + 1) * height * width)
        return Memory(self.keys[rows], self.values[rows], (1, height, width))

    def detached(self) -> Memory:
        """Without the way back to the encoder."""
        return Memory(self.keys.detach(), self.values.detach(), self.shape)


@dataclass(frozen=True)
class Projected:
    """One frame, seen by the attention: features (B, d_t, h, w), reduced (B, h, w, d), and what is kept."""

    features: Tensor
    reduced: Tensor
    memory: Memory

    def of(self, sample: int) -> Projected:
        """One sample of the batch."""
        one = slice(sample, sample + 1)
        return Projected(self.features[one], self.reduced[one], self.memory.of(sample))


class SparseTemporal(nn.Module):
    """Features of a frame and memories of the past -> features of the same shape.

    ``project`` once per frame, ``forward`` with the memories of earlier ones. The way out starts at zero, so
    a fresh module changes nothing. Raises BadInput for a configuration that cannot be built.
    """

    def __init__(self, channels: int, config: TemporalConfig | None = None):
        super().__init__()
        config = config or TemporalConfig()
        self.config, self.channels = config, channels
        width, self.heads = config.width_for(channels), config.heads_for(channels)
        self.rho = config.rho
        """May be changed after training: at 0 the network is the single-frame network."""
        _check(config, width, self.heads)
        self.radii = config.radii
        self.score = scorer(config.queries, config.radius)
        self.reduce = nn.Conv2d(channels, width, 1)
        self.norm_in = nn.LayerNorm(width)
        # a constant added to all keys changes no softmax, so theirs have none
        self.to_query, self.to_key = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.to_value, self.merge = nn.Linear(width, width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(self.radii.n_keys, self.heads))
        self.norm_read, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, config.ffn * width), nn.Linear(config.ffn * width, width)
        self.expand = nn.Linear(width, channels)
        self.correct = nn.Linear(width, channels, bias=False)
        for layer in (self.expand, self.correct):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.expand.bias)
        self._look_for_likeness()

    def _look_for_likeness(self) -> None:
        """Begin by reading, in each window, what resembles the query: a mean over the past of the same thing.

        Queries and keys of random layers would match nothing for the first hundreds of steps.
        """
        for layer, gain in (
            (self.to_query, 1.4),
            (self.to_key, 1.4),
            (self.to_value, 1.0),
            (self.merge, 1.0),
        ):
            with torch.no_grad():
                layer.weight.copy_(gain * torch.eye(layer.in_features))
                if layer.bias is not None:
                    layer.bias.zero_()

    def project(self, features: Tensor) -> Projected:
        """(B, d_t, h, w) features of one frame (or of several) -> what the attention needs of them."""
        reduced = self.norm_in(self.reduce(features).permute(0, 2, 3, 1))
        batch, height, width, _ = reduced.shape
        keys, values = (self._by_head(layer(reduced)) for layer in (self.to_key, self.to_value))
        return Projected(features, reduced, Memory(keys, values, (batch, height, width)))

    def forward(self, current: Projected, past: Sequence[Memory]) -> Tensor:
        """(B, d_t, h, w) features of the current frame, with what the selected cells read in the past.

        ``past`` stands in the order of time, the newest last; more than T are cut to the newest T, fewer are
        fine. Raises BadInput when a memory is of another shape.
        """
        seen = self._seen(current, past)
        if not seen or not self.rho:
            return current.features
        plan = self.plan(current, len(seen))
        if not len(plan.order):
            return current.features
        found = self.read(current, plan, seen)
        rows = current.reduced.flatten(0, 2)[plan.order]
        change = self.expand(self._finish(rows, found)) + self.correct(found - self.to_value(rows))
        return _scattered(current.features, plan.order, change)

    def over(self, features: Tensor, *, detach_past: bool = False) -> Tensor:
        """Clips (B, F, d_t, h, w), the newest frame last -> (B, d_t, h, w) for that last frame.

        Gradients reach all F encodings; ``detach_past`` stops them at the last one, where memory is short.
        """
        *earlier, last = features.unbind(1)
        memories = [self.project(frame.detach() if detach_past else frame).memory for frame in earlier]
        out: Tensor = self(self.project(last), memories)
        return out

    @torch.no_grad()
    def selected(self, current: Projected) -> Tensor:
        """(B, h, w) boolean: the cells that look back."""
        return select(self.score(current.reduced, self.training), self.rho)

    def _seen(self, current: Projected, past: Sequence[Memory]) -> list[Memory]:
        """The memories that are looked at, nearest first."""
        if self.config.keys == "copies":
            return [current.memory] * self.radii.frames
        seen = list(past)[: -self.radii.frames - 1 : -1]
        for memory in seen:
            if memory.shape != current.memory.shape:
                raise BadInput(
                    f"a past map of (batch, rows, columns) {memory.shape} beside a current one of "
                    f"{current.memory.shape}: empty the memory where the frame size changes"
                )
        return seen or ([current.memory] if self.config.first == "self" else [])

    def plan(self, current: Projected, n_frames: int) -> Plan:
        """How the selected cells of a frame are worked on, for so many past frames."""
        return Plan.of(self.selected(current), self.radii.by_age[:n_frames])

    def read(self, current: Projected, plan: Plan, seen: Sequence[Memory]) -> Tensor:
        """(M, d): the heads' answers side by side, in the plan's order."""
        rows = current.reduced.flatten(0, 2)[plan.order]
        queries = self._by_head(self.to_query(rows)) * (rows.shape[-1] // self.heads) ** -0.5
        n_keys = sum((2 * radius + 1) ** 2 for radius in self.radii.by_age[: len(seen)])
        keys = torch.cat([memory.keys for memory in seen])
        values = torch.cat([memory.values for memory in seen])
        return attend(plan, queries, self.bias[:n_keys], keys, values).flatten(1)

    def _finish(self, reduced: Tensor, read: Tensor) -> Tensor:
        """(M, d) and (M, d) -> (M, d): what follows the attention in a transformer layer."""
        out = self.norm_read(reduced + self.merge(read))
        finished: Tensor = self.norm_out(out + self.narrow(F.relu(self.wide(out))))
        return finished

    def _by_head(self, x: Tensor) -> Tensor:
        """(..., d) -> (n, heads, d / heads)."""
        return x.reshape(-1, self.heads, x.shape[-1] // self.heads)


def _scattered(features: Tensor, rows: Tensor, change: Tensor) -> Tensor:
    """Features (B, d_t, h, w) plus ``change`` (M, d_t) at ``rows``; all other cells stay as they are."""
    batch, channels, height, width = features.shape
    added = change.new_zeros(batch * height * width, channels).index_copy(0, rows, change)
    return features + added.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _check(config: TemporalConfig, width: int, heads: int) -> None:
    if width % heads:
        raise BadInput(f"{width} channels cannot be shared by {heads} heads")
    if not 0.0 <= config.rho <= 1.0:
        raise BadInput(f"rho is {config.rho}; the share of queries lies between 0 and 1")
    if config.ffn < 1:
        raise BadInput(f"ffn is {config.ffn}; the feed-forward part is at least as wide as the attention")
    for name, value, known in (
        ("keys", config.keys, ("past", "copies")),
        ("first", config.first, ("off", "self")),
    ):
        if value not in known:
            raise BadInput(f"{name} is {value!r}; known: {', '.join(known)}")
