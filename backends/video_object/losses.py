"""Losses over object slots: bootstrapped cross entropy of the aggregated slots, Dice per object, and for the
centres the weights of Panoptic-DeepLab (Cheng et al., CVPR 2020): 200 x MSE of the heat, 0.01 x L1 in px."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from backends.training.distributed import count
from backends.video_object import centres
from backends.video_object.network import Decoded


def segmentation_loss(logits: Tensor, masks: Tensor, valid: Tensor, *, hardest: float = 0.4) -> Tensor:
    """Cross entropy on the hardest share of pixels + 0.5 Dice.

    ``logits``: aggregated (B, K+1, H, W); ``masks``: (B, K, H, W) in {0, 1}; ``valid``: (B, K) bool, slots
    that hold an object.
    """
    target = torch.cat((0.5 * torch.ones_like(masks[:, :1]), masks), 1).argmax(1)  # (B, H, W)
    pixel = F.cross_entropy(logits, target, reduction="none").flatten(1)
    hard = pixel.topk(max(1, int(hardest * pixel.shape[1])), dim=1).values.mean()
    return hard + 0.5 * dice_loss(logits.softmax(1)[:, 1:], masks, valid)


def dice_loss(probabilities: Tensor, masks: Tensor, valid: Tensor) -> Tensor:
    """1 - Dice, averaged over valid slots; (B, K, H, W) each."""
    p, m = probabilities.flatten(2), masks.flatten(2)
    dice = (2 * (p * m).sum(-1) + 1) / (p.sum(-1) + m.sum(-1) + 1)
    weight = valid.to(dice.dtype)
    return ((1 - dice) * weight).sum() / count(weight)


def centre_loss(decoded: Decoded, masks: Tensor, others: Tensor, valid: Tensor) -> Tensor:
    """Heat and offsets against the truth; 0 for a network without these heads.

    ``masks`` (B, K, H, W) and ``others`` (B, H, W), the instance nobody labelled: its pixels, too, must vote
    for their own centre and not for an object's. Offsets count on pixels of instances only.
    """
    if decoded.heat is None or decoded.vote is None:
        return masks.new_zeros(())
    offset, heat, on = centres.targets(torch.cat((masks, others[:, None]), 1))
    squared = (decoded.heat.sigmoid() - heat[:, :-1]) ** 2
    weight = valid.to(squared.dtype)
    heat_loss = (squared.flatten(2).mean(-1) * weight).sum() / count(weight)
    here = centres.positions(tuple(on.shape[1:]), centres.STRIDE, on.device)  # type: ignore[arg-type]
    missed = (decoded.vote - (offset + here)[:, None]).abs().sum(2)
    counted = on[:, None] * weight[..., None, None]
    return 200.0 * heat_loss + 0.01 * (missed * counted).sum() / count(counted)
