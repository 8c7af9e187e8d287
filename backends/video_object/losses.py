"""Losses over object slots: bootstrapped cross entropy of the aggregated slots plus Dice per object."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


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
    return ((1 - dice) * weight).sum() / weight.sum().clamp_min(1)
