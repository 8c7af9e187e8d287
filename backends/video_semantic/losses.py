"""Losses over label maps: hard-pixel cross entropy, class weights, soft Jaccard, and a temporal one."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

IGNORE = 255


def class_weights(counts: NDArray[np.int64], power: float, most: float = 5.0) -> NDArray[np.float32]:
    """(n,) weights ``share ** -power``, mean 1 over pixels, at most ``most``; ``power`` 0: all are 1.

    ``counts``: pixels per class. A class without pixels weighs 1: there is nothing to learn it from.
    """
    share = counts / max(1, counts.sum())
    seen = share > 0
    weights = np.ones(len(counts))
    weights[seen] = share[seen] ** -power
    weights[seen] /= (weights * share).sum()
    return np.minimum(weights, most).astype(np.float32)


def hard_pixels(
    log_p: Tensor, labels: Tensor, weights: Tensor, *, sure: float = 0.7, least: float = 0.1
) -> Tensor:
    """Cross entropy over the pixels whose true class has a probability below ``sure``.

    At least the hardest ``least`` of the counted pixels count. ``log_p`` (B, n, H, W) log probabilities,
    ``labels`` (B, H, W) with IGNORE left out, ``weights`` (n,) per class. Online hard example mining as the
    trainings of PSPNet and TDNet have it; ``least`` 1 is plain cross entropy. Without counted pixels: 0.
    """
    counted = labels != IGNORE
    loss = F.nll_loss(log_p, labels, ignore_index=IGNORE, reduction="none")[counted]
    if not len(loss):
        return log_p.sum() * 0.0
    keep = max(1, math.ceil(least * len(loss)))
    found = loss.detach()
    bar = 0.0 if least >= 1 else float(found.kthvalue(len(found) - keep + 1).values)
    hard = found >= min(-math.log(sure), bar)
    weight = weights[labels[counted]] * hard
    return (loss * weight).sum() / weight.sum().clamp_min(1e-6)


def soft_jaccard(log_p: Tensor, labels: Tensor) -> Tensor:
    """1 - IoU of probabilities per class over the whole batch, mean over the classes that it shows.

    Shapes as in :func:`hard_pixels`. What is scored is a mean over classes, and this is its soft form
    (Rahman and Wang, ISVC 2016): a rare class counts as much as the road. Without counted pixels: 0.
    """
    counted = (labels != IGNORE)[:, None]
    p = log_p.exp() * counted
    true = labels.masked_fill(~counted[:, 0], 0)[:, None]
    n = log_p.shape[1]
    right = p.gather(1, true).flatten()
    both = right.new_zeros(n).index_add(0, true.flatten(), right)
    size = torch.bincount(true.flatten(), counted.flatten().float(), minlength=n)
    either = p.sum((0, 2, 3)) + size - both
    shown = size > 0
    return ((1 - both / either.clamp_min(1.0)) * shown).sum() / shown.sum().clamp_min(1)


def wandering(now: Tensor, then: Tensor, picture: Tensor, earlier: Tensor, before: Tensor) -> Tensor:
    """How far the answer for a frame is from the one before, carried along the motion.

    ``now`` and ``then``: (B, n, H, W) probabilities of two frames; ``picture`` and ``earlier``: the frames,
    (B, 3, H, W) in [0, 1]; ``before``: (B, H, W, 2), where each pixel (x, y) is in the earlier one, px.
    Squared difference summed over classes, weighted by ``exp(-|picture - carried|)`` so that covered pixels
    count little, mean over the pixels that come from within the frame (Liu et al., ECCV 2020, section 3.1).
    """
    height, width = now.shape[-2:]
    span = before.new_tensor((width, height))
    places = (2 * before + 1) / span - 1
    inside = ((places >= -1) & (places <= 1)).all(-1)
    carried = F.grid_sample(torch.cat((then, earlier), 1), places, align_corners=False)
    answer, seen = carried[:, : then.shape[1]], carried[:, then.shape[1] :]
    weight = (-(picture - seen).abs().sum(1)).exp() * inside
    gap: Tensor = ((now - answer) ** 2).sum(1) * weight
    return gap.sum() / weight.sum().clamp_min(1.0)
