"""Attention of selected cells to windows in past frames, tile by tile, in bounded memory.

Gathering every query's keys would hold ``rho h w n_k d`` numbers. Instead the map is cut into square tiles;
the queries of a tile share the union of their windows, which is copied once per tile and met with two matrix
products, everything outside a query's own window at -inf. Tiles come in chunks of bounded size, and the
backward pass computes each chunk's weights again instead of keeping them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from backends.video_semantic.keys import Tile, tile

SIDE = 6
"""Cells per side of a tile."""
SCORES = 1 << 18
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
    places: int
    """L."""
    top: Tensor
    left: Tensor
    """(n,) upper left cells of the tiles."""
    sample: Tensor
    """(n,) which map of the batch."""


@dataclass(frozen=True)
class Plan:
    """Which tiles are worked on together, for one selection of cells."""

    tile: Tile
    shape: tuple[int, int, int]
    """(B, h, w)."""
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
        batch, height, width = mask.shape
        down, across = -(-height // side), -(-width // side)
        sample, y, x = mask.nonzero(as_tuple=True)
        number = (sample * down + y // side) * across + x // side
        counts = torch.bincount(number, minlength=batch * down * across)
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
            (batch, height, width),
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
        _, height, width = self.shape
        side = self.tile.side
        down, across = -(-height // side), -(-width // side)
        device = self.tiles.device
        of_tile = torch.arange(end - begin, device=device).repeat_interleave(self.counts[begin:end])
        place = of_tile * longest + self.slot[first:last]
        within = torch.zeros((end - begin) * longest, dtype=torch.long, device=device)
        within[place] = self.within[first:last]
        tiles = self.tiles[begin:end]
        top, left = tiles // across % down * side, tiles % across * side
        return Chunk(first, last, place, within, longest, top, left, tiles // (across * down))

    def keys_of(self, chunk: Chunk) -> tuple[Tensor, Tensor]:
        """Rows (n, U) of the past (t B h w + b h w + y w + x) that its tiles see, and which of them exist."""
        batch, height, width = self.shape
        y, x = chunk.top[:, None] + self.tile.dy, chunk.left[:, None] + self.tile.dx
        exists = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        map_number = self.tile.age * batch + chunk.sample[:, None]
        return (map_number * height + y.clamp(0, height - 1)) * width + x.clamp(0, width - 1), exists


def attend(plan: Plan, queries: Tensor, bias: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """What the selected cells read in the past frames: (M, heads, e), in ``plan.order``.

    ``queries`` (M, heads, e) in ``plan.order``, already scaled. ``keys`` and ``values`` (T B h w, heads, e),
    nearest frame first. ``bias`` (n_k, heads) belongs to the scores, counted over age, dy, dx.
    """
    table = bias.t()[:, plan.tile.bias_row].masked_fill(~plan.tile.inside, -math.inf)
    table = table.permute(1, 0, 2).contiguous().to(queries.dtype)
    out: Tensor = _Tiles.apply(plan, queries, table, keys, values)  # type: ignore[no-untyped-call]
    return out


class _Tiles(torch.autograd.Function):
    """Chunks in turn; nothing but the inputs is kept for the way back."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, queries: Tensor, table: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        ctx.plan = plan
        ctx.save_for_backward(queries, table, keys, values)
        out = torch.empty_like(queries)
        for chunk in plan.chunks(queries.shape[1]):
            rows, exists = plan.keys_of(chunk)
            read = F.scaled_dot_product_attention(
                _placed(chunk, queries),
                _seen(rows, keys),
                _seen(rows, values),
                attn_mask=_bias(chunk, table, exists),
                scale=1.0,
            )
            out[chunk.first : chunk.last] = _taken(chunk, read)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        plan: Plan = ctx.plan
        queries, table, keys, values = ctx.saved_tensors
        to_queries = torch.empty_like(queries)
        to_table, to_keys, to_values = (torch.zeros_like(tensor) for tensor in (table, keys, values))
        for chunk in plan.chunks(queries.shape[1]):
            rows, exists = plan.keys_of(chunk)
            inputs = [_placed(chunk, queries), _seen(rows, keys), _seen(rows, values)]
            inputs = [tensor.detach().requires_grad_() for tensor in (*inputs, _bias(chunk, table, exists))]
            with torch.enable_grad():
                query, key, value, bias = inputs
                read = torch.softmax(query @ key.transpose(-1, -2) + bias, -1) @ value
            found = torch.autograd.grad(read, inputs, _placed(chunk, grad))
            to_queries[chunk.first : chunk.last] = _taken(chunk, found[0])
            to_keys.index_add_(0, rows.flatten(), found[1].transpose(1, 2).flatten(0, 1))
            to_values.index_add_(0, rows.flatten(), found[2].transpose(1, 2).flatten(0, 1))
            to_table.index_add_(0, chunk.within, found[3].transpose(1, 2).flatten(0, 1))
        return None, to_queries, to_table, to_keys, to_values


def _placed(chunk: Chunk, queries: Tensor) -> Tensor:
    """(M, heads, e) -> (n, heads, L, e) of the chunk, empty places 0."""
    _, heads, depth = queries.shape
    placed = queries.new_zeros(len(chunk.within), heads, depth)
    placed.index_copy_(0, chunk.place, queries[chunk.first : chunk.last])
    return placed.view(-1, chunk.places, heads, depth).transpose(1, 2)


def _taken(chunk: Chunk, placed: Tensor) -> Tensor:
    """The way back: (n, heads, L, e) -> the chunk's queries (m, heads, e)."""
    return placed.transpose(1, 2).flatten(0, 1).index_select(0, chunk.place)


def _bias(chunk: Chunk, table: Tensor, exists: Tensor) -> Tensor:
    """(n, heads, L, U): the relative bias, -inf outside a query's window or outside the map."""
    bias = table.index_select(0, chunk.within).view(-1, chunk.places, *table.shape[1:])
    bias += exists[:, None, None].to(bias.dtype).log()  # 0 or -inf; far quicker than a mask
    return bias.transpose(1, 2)


def _seen(rows: Tensor, past: Tensor) -> Tensor:
    """Keys or values (n, heads, U, e) of the tiles' unions."""
    # index_select copies whole rows; the same by [] costs several times as much on a CPU
    return past.index_select(0, rows.flatten()).view(*rows.shape, *past.shape[1:]).transpose(1, 2)
