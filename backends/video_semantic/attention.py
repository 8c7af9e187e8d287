"""Attention of selected cells to windows in past frames, tile by tile, in bounded memory.

Gathering every query's keys would hold ``rho h w n_k d`` numbers. Instead the map is cut into square tiles;
the queries of a tile share the union of their windows, which is copied once per tile and met with two matrix
products, everything outside a query's own window at -inf. Tiles come in chunks of bounded size, and the
backward pass computes each chunk's weights again instead of keeping them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from backends.video_semantic.keys import Tile, tile

SIDE = 8
"""Cells per side of a tile."""
SCORES = 1 << 19
"""Scores (heads x queries x keys) held at once, unless a single tile has more."""


@dataclass(frozen=True)
class Chunk:
    """Some tiles and their queries: n tiles with L places each, of which some may stay empty."""

    first: int
    last: int
    """The chunk's queries, as a slice of the plan's order."""
    place: Tensor
    """Index into n * L for each of them."""
    within: Tensor
    """(n * L,) which cell of its tile stands there; empty places say 0."""
    top: Tensor
    left: Tensor
    """(n,) upper left cells of the tiles."""
    sample: Tensor
    """(n,) which map of the batch."""


@dataclass(frozen=True)
class Plan:
    """Which tiles are worked on together, for one selection of cells."""

    tile: Tile
    grid_hw: tuple[int, int]
    order: Tensor
    """The rows of the selection (b h w + y w + x), sorted by tile; fullest tiles first."""
    within: Tensor
    """Which cell of its tile each of them is."""
    slot: Tensor
    """Its number among the queries of its tile."""
    tiles: Tensor
    """(n,) tiles that have queries at all, fullest first."""
    counts: Tensor
    """(n,) how many."""

    @classmethod
    def of(cls, mask: Tensor, radii: tuple[int, ...], side: int = SIDE) -> Plan:
        """For selected cells (B, h, w) and windows of ``radii``, nearest frame first."""
        height, width = mask.shape[-2:]
        down, across = -(-height // side), -(-width // side)
        sample, y, x = mask.nonzero(as_tuple=True)
        number = (sample * down + y // side) * across + x // side
        counts = torch.bincount(number, minlength=mask.shape[0] * down * across)
        tiles = counts.argsort(descending=True, stable=True)
        counts = counts[tiles]
        rank = torch.empty_like(tiles)
        rank[tiles] = torch.arange(len(tiles), device=mask.device)
        by_tile = rank[number].argsort(stable=True)
        starts = counts.cumsum(0) - counts
        slot = torch.arange(len(by_tile), device=mask.device) - starts[rank[number[by_tile]]]
        rows = (sample * height + y) * width + x
        within = (y % side) * side + x % side
        return cls(
            tile(side, radii, mask.device),
            (height, width),
            rows[by_tile],
            within[by_tile],
            slot,
            tiles[counts > 0],
            counts[counts > 0],
        )

    def chunks(self, heads: int) -> Iterator[Chunk]:
        """All tiles in turn, at most about SCORES scores at a time."""
        counts = self.counts.tolist()
        begin, first = 0, 0
        while begin < len(counts):
            longest = counts[begin]
            end = min(len(counts), begin + max(1, SCORES // (heads * longest * self.tile.n_keys)))
            last = first + sum(counts[begin:end])
            yield self._chunk(begin, end, first, last, longest)
            begin, first = end, last

    def _chunk(self, begin: int, end: int, first: int, last: int, longest: int) -> Chunk:
        height, width = self.grid_hw
        side = self.tile.side
        down, across = -(-height // side), -(-width // side)
        device = self.tiles.device
        of_tile = torch.arange(end - begin, device=device).repeat_interleave(self.counts[begin:end])
        place = of_tile * longest + self.slot[first:last]
        within = torch.zeros((end - begin) * longest, dtype=torch.long, device=device)
        within[place] = self.within[first:last]
        tiles = self.tiles[begin:end]
        top, left = tiles // across % down * side, tiles % across * side
        return Chunk(first, last, place, within, top, left, tiles // (across * down))

    def keys_of(self, chunk: Chunk) -> tuple[Tensor, Tensor]:
        """Rows (n, U) of the past maps that the chunk's tiles see, and which of them exist."""
        height, width = self.grid_hw
        y, x = chunk.top[:, None] + self.tile.dy, chunk.left[:, None] + self.tile.dx
        exists = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
        return (chunk.sample[:, None] * height + y) * width + x, exists


def attend(
    plan: Plan, queries: Tensor, bias: Tensor, keys: Sequence[Tensor], values: Sequence[Tensor]
) -> Tensor:
    """What the selected cells read in the past frames: (heads, M, e), in ``plan.order``.

    ``queries`` (heads, M, e) in ``plan.order``, already scaled. ``keys`` and ``values``: one (heads, B h w,
    e) per past frame, nearest first. ``bias`` (n_k, heads) belongs to the scores, counted over age, dy, dx.
    """
    table = bias[plan.tile.bias_row].masked_fill(~plan.tile.inside[..., None], -math.inf)
    table = table.permute(2, 0, 1).to(queries.dtype)
    out: Tensor = _Tiles.apply(plan, queries, table, *keys, *values)  # type: ignore[no-untyped-call]
    return out


class _Tiles(torch.autograd.Function):
    """Chunks in turn; nothing but the inputs is kept for the way back."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, queries: Tensor, table: Tensor, *past: Tensor) -> Tensor:
        ctx.plan = plan
        ctx.save_for_backward(queries, table, *past)
        out = torch.empty_like(queries)
        for chunk in plan.chunks(queries.shape[0]):
            rows, exists = plan.keys_of(chunk)
            keys, values = _seen(plan, rows, past)
            bias = _bias(plan, chunk, table, exists)
            read = F.scaled_dot_product_attention(
                _placed(chunk, queries, bias), keys, values, attn_mask=bias, scale=1.0
            )
            out[:, chunk.first : chunk.last] = read.flatten(1, 2)[:, chunk.place]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        plan: Plan = ctx.plan
        queries, table, *past = ctx.saved_tensors
        to_queries, to_table = torch.empty_like(queries), torch.zeros_like(table)
        to_past = [torch.zeros_like(tensor) for tensor in past]
        for chunk in plan.chunks(queries.shape[0]):
            rows, exists = plan.keys_of(chunk)
            leaves = (*_seen(plan, rows, past), _bias(plan, chunk, table, exists))
            inputs = [t.detach().requires_grad_() for t in (_placed(chunk, queries, leaves[2]), *leaves)]
            with torch.enable_grad():
                query, key, value, bias = inputs
                read = torch.softmax(query @ key.transpose(-1, -2) + bias, -1) @ value
            found = torch.autograd.grad(read, inputs, _placed(chunk, grad, leaves[2]))
            to_queries[:, chunk.first : chunk.last] = found[0].flatten(1, 2)[:, chunk.place]
            to_table.index_add_(1, chunk.within, found[3].flatten(1, 2))
            _give_back(plan, rows, found[1], to_past[: len(plan.tile.sizes)])
            _give_back(plan, rows, found[2], to_past[len(plan.tile.sizes) :])
        return None, to_queries, to_table, *to_past


def _placed(chunk: Chunk, queries: Tensor, like: Tensor) -> Tensor:
    """(heads, M, e) -> (heads, n, L, e) of the chunk, empty places 0; n and L as in ``like``."""
    heads, _, depth = queries.shape
    placed = queries.new_zeros(heads, len(chunk.within), depth)
    placed[:, chunk.place] = queries[:, chunk.first : chunk.last]
    return placed.view(heads, *like.shape[1:3], depth)


def _bias(plan: Plan, chunk: Chunk, table: Tensor, exists: Tensor) -> Tensor:
    """(heads, n, L, U): the relative bias, -inf outside a query's window or outside the map."""
    n_tiles = len(chunk.top)
    bias = table[:, chunk.within].view(table.shape[0], n_tiles, -1, table.shape[-1])
    return bias.masked_fill_(~exists[None, :, None], -math.inf)


def _seen(plan: Plan, rows: Tensor, past: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Keys and values (heads, n, U, e) of the tiles' unions."""
    sizes = list(plan.tile.sizes)
    parts = [part.flatten() for part in torch.split(rows, sizes, 1)]
    both = []
    for tensors in (past[: len(sizes)], past[len(sizes) :]):
        seen = [
            t[:, at].view(t.shape[0], len(rows), -1, t.shape[-1])
            for t, at in zip(tensors, parts, strict=True)
        ]
        both.append(torch.cat(seen, 2))
    return both[0], both[1]


def _give_back(plan: Plan, rows: Tensor, grad: Tensor, to: Sequence[Tensor]) -> None:
    """Add gradients (heads, n, U, e) to the rows they came from."""
    sizes = list(plan.tile.sizes)
    for whole, at, part in zip(to, torch.split(rows, sizes, 1), torch.split(grad, sizes, 2), strict=True):
        whole.index_add_(1, at.flatten(), part.flatten(1, 2))
