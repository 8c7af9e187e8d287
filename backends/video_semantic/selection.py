"""Which cells of the current frame look back: the hard ones, by their neighbourhood (NSM), or a control.

Source: STT (ACM MM 2021), query selection by neighbourhood similarity measure. The paper prints a divergence
that expands to minus the Kullback-Leibler divergence; its words (large is complex) want the positive one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from backends.core.errors import BadInput

Queries = Literal["nsm", "random", "gradient"]
_SEED = 5  # of the random control's fixed pattern


@torch.no_grad()
def nsm(q: Tensor, radius: int = 5) -> Tensor:
    """How complex the neighbourhood of each cell is: (..., h, w, d) features -> (..., h, w), 0 or more.

    ``KL(u || softmax(s)) + mean(1 - cos)`` over the neighbours within ``radius`` cells, u uniform and
    ``s = Qn q / sqrt(d)``. The divergence is ``logsumexp(s) - mean(s) - log n``: the same number without a
    division by small probabilities. Neighbours outside the map do not exist, so borders are not complex.
    """
    height, width, depth = q.shape[-3:]
    flat = q.reshape(-1, height, width, depth)
    planes = flat.movedim(-1, 1).contiguous().float() / depth**0.25
    scores = _similarities(planes, radius)
    mean = (planes * _box_mean(planes, radius)).sum(1)
    divergence = torch.logsumexp(scores, 1) - mean - _neighbours(planes, radius).log()
    unit = planes / planes.square().sum(1, keepdim=True).sqrt().clamp_min(1e-12)
    turned = 1.0 - (unit * _box_mean(unit, radius)).sum(1)
    score: Tensor = divergence.clamp_min(0.0) + turned.clamp_min(0.0)
    return score.reshape(q.shape[:-1])


def _box_mean(planes: Tensor, radius: int) -> Tensor:
    """(B, d, h, w) -> means over the neighbours inside the map."""
    total = planes
    for axis, around in ((2, (0, 0, radius, radius)), (3, (radius, radius))):
        # a sum of slices along rows, then along columns: several times faster than pooling on a CPU
        wide, size = F.pad(total, around), planes.shape[axis]
        total = wide.narrow(axis, 0, size).clone()
        for shift in range(1, 2 * radius + 1):
            total += wide.narrow(axis, shift, size)
    return total / _neighbours(planes, radius)


def _neighbours(planes: Tensor, radius: int) -> Tensor:
    """(h, w): how many neighbours each cell has inside the map, itself among them."""
    counts = []
    for size in planes.shape[-2:]:
        at = torch.arange(size, device=planes.device)
        counts.append((at + radius).clamp_max(size - 1) - (at - radius).clamp_min(0) + 1)
    return counts[0][:, None] * counts[1]


def _similarities(planes: Tensor, radius: int) -> Tensor:
    """(B, d, h, w) -> (B, (2r+1)^2, h, w) dot products with each neighbour, -inf outside the map.

    Each pair of cells is multiplied once: what p is to its right neighbour, that one is to p.
    """
    batch, _, height, width = planes.shape
    side = 2 * radius + 1
    scores = planes.new_full((batch, side * side, height, width), -math.inf)
    for dy in range(min(radius, height - 1) + 1):
        reach = min(radius, width - 1)
        for dx in range(-reach if dy else 0, reach + 1):
            left, right = max(0, -dx), width - max(0, dx)
            here = (slice(0, height - dy), slice(left, right))
            there = (slice(dy, height), slice(left + dx, right + dx))
            product = (planes[:, :, *here] * planes[:, :, *there]).sum(1)
            scores[:, (radius + dy) * side + radius + dx, *here] = product
            scores[:, (radius - dy) * side + radius - dx, *there] = product
    return scores


@torch.no_grad()
def gradient_magnitude(q: Tensor) -> Tensor:
    """Control: how much the features change to the neighbouring cells, (..., h, w, d) -> (..., h, w)."""
    flat = q.reshape(-1, *q.shape[-3:]).movedim(-1, 1).float()
    wide = F.pad(flat, (1, 1, 1, 1), mode="replicate")
    down = wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]
    across = wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2]
    return (down.square().sum(1) + across.square().sum(1)).sqrt().reshape(q.shape[:-1])


@torch.no_grad()
def random_scores(q: Tensor, *, fresh: bool) -> Tensor:
    """Control: numbers in [0, 1) that know nothing of the frame, (..., h, w, d) -> (..., h, w).

    ``fresh`` draws anew (training); otherwise the pattern depends on the map's size alone, so that frames can
    come one by one or together.
    """
    if fresh:
        return torch.rand(q.shape[:-1], device=q.device)
    drawn = torch.rand(q.shape[-3:-1], generator=torch.Generator().manual_seed(_SEED))
    return drawn.to(q.device).expand(q.shape[:-1])


def scorer(queries: Queries, radius: int) -> Callable[[Tensor, bool], Tensor]:
    """(features (B, h, w, d), training) -> scores (B, h, w). Raises BadInput for an unknown way."""
    ways: dict[str, Callable[[Tensor, bool], Tensor]] = {
        "nsm": lambda q, training: nsm(q, radius),
        "random": lambda q, training: random_scores(q, fresh=training),
        "gradient": lambda q, training: gradient_magnitude(q),
    }
    if queries not in ways:
        raise BadInput(f"unknown choice of queries {queries!r}; known: {', '.join(ways)}")
    if not 1 <= radius <= 32:
        raise BadInput(f"a neighbourhood of radius {radius}; 1 to 32 cells can be compared")
    return ways[queries]


@torch.no_grad()
def select(score: Tensor, rho: float) -> Tensor:
    """The share ``rho`` of cells with the largest scores: (..., h, w) -> the same, boolean.

    Always ``round(rho h w)`` cells of each map; among equals the first in reading order, so that it does not
    matter how many maps are asked about at once. Raises BadInput unless 0 <= rho <= 1.
    """
    if not 0.0 <= rho <= 1.0:
        raise BadInput(f"rho is {rho}; the share of queries lies between 0 and 1")
    flat = score.flatten(-2)
    wanted = round(rho * flat.shape[-1])
    if not wanted:
        return torch.zeros_like(score, dtype=torch.bool)
    last = flat.topk(wanted, -1).values[..., -1:]
    above, level = flat > last, flat == last
    missing = wanted - above.sum(-1, keepdim=True)
    return (above | (level & (level.cumsum(-1) <= missing))).reshape(score.shape)
