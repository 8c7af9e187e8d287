"""Instance centres: every pixel votes for the centre of its instance, and votes near an object's previous
centre speak for that object. It tells apart what looks alike.

Votes and heat follow Panoptic-DeepLab (Cheng et al., CVPR 2020): a Gaussian heat of 8 px at the centre, an
offset ``O(p) = c - p`` on the instance's pixels. The association with the previous frame's centre is
Motion-DeepLab's (Weber et al., STEP, 2021) in soft form: ``g(p) = exp(-|p + O(p) - c|^2 / (2 s^2))``.
Coordinates are (x, y) in pixels of the network's input.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

STRIDE = 8  # of heat and offsets
HEAT_PX = 8.0
LEAST_SPREAD_PX = 3.0
SPREAD = 0.35  # of the radius of a disc with the object's area
_FLOOR = 1e-4


@dataclass(frozen=True)
class Prior:
    """Where each object is expected."""

    centre: Tensor  # (B, K, 2)
    spread: Tensor  # (B, K) px
    weight: Tensor  # (B, K) 1, or 0 where nothing is expected and the votes stay silent


def positions(grid_hw: tuple[int, int], stride: int, device: torch.device) -> Tensor:
    """Centres of the cells: (2, h, w)."""
    rows = (torch.arange(grid_hw[0], device=device, dtype=torch.float32) + 0.5) * stride
    columns = (torch.arange(grid_hw[1], device=device, dtype=torch.float32) + 0.5) * stride
    return torch.stack((columns.expand(grid_hw), rows[:, None].expand(grid_hw)))


def moments(masks: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Centroid (B, K, 2) and area (B, K) in px of soft masks (B, K, h, w) with cells of ``stride`` px."""
    where = positions((masks.shape[-2], masks.shape[-1]), stride, masks.device)
    mass = masks.flatten(2).sum(-1)
    centre = torch.einsum("bkhw,chw->bkc", masks, where) / mass.clamp_min(1e-6)[..., None]
    return centre, mass * stride**2


def prior_of(masks: Tensor, stride: int) -> Prior:
    """What the last frame's soft masks (B, K, h, w) lead to expect."""
    sure = torch.where(masks > 0.5, masks, torch.zeros_like(masks))
    centre, area = moments(sure, stride)
    return Prior(centre, spread_of(area), (area > 0).to(masks.dtype))


def spread_of(area: Tensor) -> Tensor:
    """How far votes may lie from the expected centre, px."""
    return (SPREAD * (area / torch.pi).sqrt()).clamp_min(LEAST_SPREAD_PX)


def votes(offset: Tensor, where: Tensor | None = None) -> Tensor:
    """Offsets (B, K, 2, h, w) px -> the points they lead to; ``where``: ``positions`` at hand already."""
    if where is None:
        where = positions((offset.shape[-2], offset.shape[-1]), STRIDE, offset.device)
    return offset + where


def log_prior(vote: Tensor, prior: Prior) -> Tensor:
    """``log(g + 1e-4)`` (B, K, h, w), 0 where nothing is expected."""
    away = ((vote - prior.centre[..., None, None]) ** 2).sum(2)
    near = torch.exp(-away / (2 * prior.spread[..., None, None] ** 2))
    return torch.log(near + _FLOOR) * prior.weight[..., None, None]


def median_vote(vote: Tensor, mask: Tensor) -> Tensor | None:
    """The object's new centre (2,): the median of its pixels' votes (2, h, w); None for an empty mask."""
    inside = mask > 0.5
    if not bool(inside.any()):
        return None
    return vote[:, inside].median(1).values


def targets(instances: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Truth at stride 8 from instance masks (B, J, H, W).

    Returns offset (B, 2, h, w) px, heat (B, J, h, w) and ``on`` (B, h, w): cells that mostly belong to some
    instance; the offset there leads to that instance's centroid.
    """
    shares = F.avg_pool2d(instances, STRIDE)
    centre, area = moments(shares, STRIDE)
    where = positions((shares.shape[-2], shares.shape[-1]), STRIDE, shares.device)
    most, owner = shares.max(1)
    centre_of = centre[:, :, :, None, None].expand(*centre.shape, *most.shape[1:])
    own = centre_of.gather(1, owner[:, None, None].expand(-1, 1, 2, -1, -1))[:, 0]
    away = ((where - centre[..., None, None]) ** 2).sum(2)
    heat = torch.exp(-away / (2 * HEAT_PX**2)) * (area > 0)[..., None, None]
    return own - where, heat, most > 0.5
