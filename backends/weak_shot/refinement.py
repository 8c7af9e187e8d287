"""Scores drawn to the colours of the photo, in place of a dense conditional random field.

Each round every pixel takes a weighted mean of its neighbours at a few distances; the weights fall with the
difference of colour, measured against how much colours vary around there. The idea is pixel-adaptive mask
refinement (Araslanov and Roth, "Single-Stage Semantic Segmentation from Image Labels", CVPR 2020); here each
round also keeps a part of the scores it began with, as a random field's unary terms do.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_EIGHT = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))


@dataclass(frozen=True)
class Refinement:
    """How far and how long scores spread.

    reach: distances of the neighbours in pixels of the grid that is refined. rounds: how often. contrast: the
    difference of colour, in local standard deviations, at which a neighbour's weight has fallen to exp(-1).
    keep: share of its first score that a pixel keeps in each round.
    """

    reach: tuple[int, ...] = (1, 2, 4, 8)
    rounds: int = 10
    contrast: float = 0.3
    keep: float = 0.1


def refined(scores: Tensor, rgb: Tensor, how: Refinement | None = None) -> Tensor:
    """(K, h, w) scores led by ``rgb`` (3, h, w) in [0, 1]; each stays between its smallest and largest."""
    how = how or Refinement()
    weights = _weights(rgb, how)
    now = scores
    for _ in range(how.rounds):
        mean = (_neighbours(now[:, None], how.reach)[:, 0] * weights).sum(1)
        now = how.keep * scores + (1 - how.keep) * mean
    return now


def _weights(rgb: Tensor, how: Refinement) -> Tensor:
    """(n, h, w), positive, summing to one over the n neighbours."""
    around = _neighbours(rgb[:, None], how.reach)[:, 0]
    spread = around.std(1, correction=0) + 0.02  # flat surfaces: noise below 2 % is no contrast
    difference = ((around - rgb[:, None]).abs() / spread[:, None]).mean(0)
    return torch.softmax(-difference / how.contrast, 0)


def _neighbours(x: Tensor, reach: tuple[int, ...]) -> Tensor:
    """(C, 1, h, w) -> (C, 1, n, h, w): eight neighbours at each distance; borders repeat their pixels."""
    height, width = x.shape[-2:]
    most = max(reach)
    padded = F.pad(x, (most,) * 4, mode="replicate")
    return torch.stack(
        [
            padded[..., most + by * dy : most + by * dy + height, most + by * dx : most + by * dx + width]
            for by in reach
            for dy, dx in _EIGHT
        ],
        2,
    )
