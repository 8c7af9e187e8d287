"""The network's evidence arranged for ONNX Runtime: the numbers of ``matching``, with fewer steps per object.

TopK takes time with the number of candidates, and every object wants several. So template rows are sorted
into groups of 16 that are foreground, background or neither for the same objects. The largest of each group
is found once for all objects; an object's four best rows lie in its four best groups, and only these are
looked into.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from backends.video_object import matching
from backends.video_object.matching import NEVER, TOP
from backends.video_object.network import Encoding, Evidence, Grid, Network
from backends.video_object.template import Template

SIDE = 16  # rows of a group: a row of a frame's similarities to it is one vector of the processor


@dataclass(frozen=True)
class Grouped:
    """A template with its rows in groups; G groups, M = 16 G rows, padding among them."""

    rows: Tensor  # (1, M, C)
    isometric: Tensor  # (1, M, C)
    shares: Tensor  # (1, K, M)
    padding: Tensor  # (1, 1, M) 0, or -NEVER for rows about which no mask says anything
    foreground: Tensor  # (1, K, G) 0 or -NEVER, see Template
    background: Tensor  # (1, K, G)
    own: Tensor  # (1, K, F) int64: the groups that are foreground, filled up with others

    @staticmethod
    def of(template: Template) -> Grouped:
        """Sort, and fill each kind's last group up."""
        kinds = torch.cat((template.foreground, template.background, template.said), 1)[0] == 0
        source, nobody = _arranged(kinds), template.rows.shape[1]
        assert int(source.max()) <= nobody

        def sorted_rows(x: Tensor, dim: int, fill: float) -> Tensor:
            filled = torch.cat((x, torch.full_like(x.narrow(dim, 0, 1), fill)), dim)
            return filled.index_select(dim, source)

        foreground = sorted_rows(template.foreground, 2, -NEVER)[..., ::SIDE].contiguous()
        most = max(TOP, int((foreground == 0).sum(-1).max()))
        return Grouped(
            sorted_rows(template.rows, 1, 0.0),
            sorted_rows(template.isometric, 1, 0.0),
            sorted_rows(template.shares, 2, 0.0),
            sorted_rows(template.said, 2, -NEVER),
            foreground,
            sorted_rows(template.background, 2, -NEVER)[..., ::SIDE].contiguous(),
            foreground.topk(most, dim=-1).indices,
        )


def _arranged(kinds: Tensor) -> Tensor:
    """(kinds, N) bool -> (M,) which row stands where; N for padding. Groups begin with a row of their own."""
    _, owner = torch.unique(kinds, dim=1, return_inverse=True)
    sizes = torch.bincount(owner)
    room = (sizes + SIDE - 1) // SIDE * SIDE
    order = owner.argsort(stable=True)
    rank = torch.arange(len(owner)) - (sizes.cumsum(0) - sizes)[owner[order]]
    source = torch.full((max(int(room.sum()), TOP * SIDE),), len(owner))
    source[(room.cumsum(0) - room)[owner[order]] + rank] = order
    return source


@dataclass(frozen=True)
class Layout:
    """What follows from a frame's size, as the graph wants it; D = (2R+1)^2, listed column by column."""

    index: Tensor  # (P, D) int64
    inside: Tensor  # (P, D) bool
    where: Tensor  # (2, 2h, 2w) px
    cells: Tensor  # (P, 1) int64: 0, 1, ...
    strips: Tensor  # (h, w + 2R, 2R+1) int64: the cells above and below each cell; P outside
    columns: Tensor  # (w, 2R+1) int64: the strips beside each cell

    @staticmethod
    def of(grid_hw: tuple[int, int], radius: int) -> Layout:
        """For a matching grid of this many cells."""
        (height, width), side = grid_hw, 2 * radius + 1
        grid = Grid.of(grid_hw, radius, torch.device("cpu"))
        index, inside = (
            x.reshape(-1, side, side).transpose(1, 2).flatten(1).contiguous()
            for x in (grid.index, grid.inside)
        )
        numbers = torch.arange(height * width).reshape(1, height, width)
        framed = F.pad(numbers, (radius, radius, radius, radius), value=height * width)[0]
        strips = framed.unfold(0, side, 1).contiguous()
        columns = torch.arange(width)[:, None] + torch.arange(side)
        cells = torch.arange(height * width)[:, None]
        return Layout(index, inside, grid.where, cells, strips, columns)


def evidence(
    network: Network, layout: Layout, now: Encoding, template: Grouped, before: Encoding, coarse: Tensor
) -> Evidence:
    """``Network.evidence`` for one frame, co and lc as the network's config has them, lc=full excepted."""
    sharpness = network.log_temperature.exp()
    sharp = (now.embedded * sharpness) @ template.rows.transpose(1, 2) + template.padding
    isometric = now.embedded @ template.isometric.transpose(1, 2) + template.padding
    attention = torch.softmax(sharp, dim=-1)
    raw_peaks, peaks = _peaks(sharp) / sharpness, _peaks(isometric)
    familiar = _best(raw_peaks, template.foreground)
    parts = [
        _own_tops(isometric, peaks, template.foreground, template.own, layout.cells),
        _tops(isometric, peaks, template.background, layout.cells),
        familiar[..., None],
        _best(raw_peaks, template.background)[..., None],
        (attention @ template.shares.transpose(1, 2)).transpose(1, 2)[..., None],
        coarse[..., None],
    ]
    if network.config.lc == "off":
        return Evidence(torch.cat(parts, dim=-1), familiar, None)
    window = matching.local_correlation(now.embedded, before.embedded, layout.index, layout.inside)
    near = _around(coarse, layout)
    parts += [_local_tops(window, near), matching.carried(window, near)]
    return Evidence(torch.cat(parts, dim=-1), familiar, window.amax(-1).mean(-1))


def _peaks(similarity: Tensor) -> Tensor:
    """(1, P, M) -> (1, P, G), the largest of each group."""
    return similarity.reshape(1, similarity.shape[1], -1, SIDE).amax(-1)


def _best(peaks: Tensor, bias: Tensor) -> Tensor:
    """(1, P, G), (1, K, G) -> (1, K, P): ``matching.best`` of one."""
    return (peaks[:, None] + bias[:, :, None]).amax(-1).clamp_min(-1.0)


def _own_tops(similarity: Tensor, peaks: Tensor, bias: Tensor, own: Tensor, cells: Tensor) -> Tensor:
    """:func:`_tops` over the few groups (1, K, F) that alone can count."""
    slots = own.shape[1]
    few = peaks[0][:, own[0]].transpose(0, 1)[None]  # (1, K, P, F)
    best = (few + bias.gather(2, own)[:, :, None]).topk(TOP, dim=-1)
    groups = own.flatten()[best.indices + (own.shape[2] * cells[:slots])[:, :, None]]
    return _inside(similarity, best.values, groups + cells * peaks.shape[-1])


def _tops(similarity: Tensor, peaks: Tensor, bias: Tensor, cells: Tensor) -> Tensor:
    """(1, P, M), (1, P, G), (1, K, G), (P, 1) -> (1, K, P, TOP): ``matching.best`` of TOP."""
    best = (peaks[:, None] + bias[:, :, None]).topk(TOP, dim=-1)
    return _inside(similarity, best.values, best.indices + cells * peaks.shape[-1])


def _inside(similarity: Tensor, peaks: Tensor, groups: Tensor) -> Tensor:
    """The TOP best of the listed groups (1, K, P, TOP), best first; they count where their ``peaks`` do.

    The last group cannot give more than its peak: three others are at least as good.
    """
    valid = torch.where(peaks > -NEVER / 2, 0.0, -NEVER)[..., :-1, None]
    rows = similarity.reshape(-1, SIDE)[groups[..., :-1]] + valid  # (1, K, P, TOP - 1, SIDE)
    candidates = torch.cat((rows.flatten(3), peaks[..., -1:]), dim=-1)
    return candidates.topk(TOP, dim=-1).values.clamp_min(-1.0)


def _around(coarse: Tensor, layout: Layout) -> Tensor:
    """``matching.around`` in two steps, whole strips at once: (1, K, P) -> (1, K, P, D); 0 outside."""
    strips = F.pad(coarse, (0, 1))[:, :, layout.strips]  # (1, K, h, w + 2R, 2R+1)
    return strips[:, :, :, layout.columns].flatten(4).flatten(2, 3)


def _local_tops(window: Tensor, near: Tensor) -> Tensor:
    """``matching.local_tops``. Where an object was nowhere near, all objects see the same: found once."""
    slots, cells, reach = near.shape[1:]
    positive = window.clamp_min(0)[0]
    found = torch.cat((torch.zeros_like(positive[:, :TOP]), positive.topk(TOP, dim=-1).values), dim=-1)
    active = near.amax(-1).flatten().nonzero()[:, 0]
    mine = positive[active % cells]
    was = mine * near.reshape(-1, reach)[active]
    tops = torch.cat((was.topk(TOP, dim=-1).values, (mine - was).topk(TOP, dim=-1).values), dim=-1)
    every = found.expand(slots, -1, -1).reshape(-1, 2 * TOP)
    return every.index_put((active,), tops).reshape(1, slots, cells, 2 * TOP)
