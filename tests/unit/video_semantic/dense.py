"""The reference: every query beside every key of every past frame, as the formulas say it, nothing saved."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from backends.video_semantic.temporal import Projected, SparseTemporal


def dense(module: SparseTemporal, current: Projected, past: Sequence[Projected]) -> Tensor:
    """What ``module(current, past)`` must give for rho 1; ``past`` in the order of time."""
    batch, height, width, depth = current.reduced.shape
    seen = list(reversed(past))[: module.radii.frames]
    split = (batch, -1, module.heads, depth // module.heads)
    queries = module.to_query(current.reduced).reshape(split)
    stacked = torch.stack([frame.reduced for frame in seen], 1)
    keys, values = module.to_key(stacked).reshape(split), module.to_value(stacked).reshape(split)
    scores = torch.einsum("bqhe,bkhe->bhqk", queries, keys) / (depth // module.heads) ** 0.5
    scores = scores + _bias(module, height, width, len(seen))
    read = torch.einsum("bhqk,bkhe->bqhe", scores.softmax(-1), values).reshape(current.reduced.shape)
    out = module.norm_read(current.reduced + module.merge(read))
    out = module.norm_out(out + module.narrow(F.relu(module.wide(out))))
    change = module.expand(out) + module.correct(read - module.to_value(current.reduced))
    return current.features + change.permute(0, 3, 1, 2)


def _bias(module: SparseTemporal, height: int, width: int, n_frames: int) -> Tensor:
    """(heads, h w, T h w), -inf outside the windows."""
    y, x = (
        side.flatten() for side in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    )
    dy, dx = y[None] - y[:, None], x[None] - x[:, None]
    parts, first = [], 0
    for radius in module.radii.by_age[:n_frames]:
        side = 2 * radius + 1
        row = first + (dy + radius).clamp(0, side - 1) * side + (dx + radius).clamp(0, side - 1)
        outside = (dy.abs() > radius) | (dx.abs() > radius)
        parts.append(module.bias[row].masked_fill(outside[..., None], -torch.inf))
        first += side**2
    return torch.cat(parts, 1).permute(2, 0, 1)
