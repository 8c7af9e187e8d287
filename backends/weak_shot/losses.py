"""What the networks of the weak-shot method are trained to make small."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from backends.weak_shot.networks import Offsets, overlap, pair_distances

IGNORE = 255
"""Pixels that teach nothing: padding, void, what a base mask must not tell."""
INSIDE_BACKGROUND, INSIDE_OBJECT, BOUNDARY = 0, 1, 2
"""Targets of the boundary network; IGNORE beside them."""


def tag_loss(logits: Tensor, tags: Tensor) -> Tensor:
    """Multi-label soft margin: (B, n) logits against (B, n) tags of 0 and 1; a tag of 255 is left out."""
    known = tags != IGNORE
    loss = F.binary_cross_entropy_with_logits(logits, (tags * known).float(), reduction="none")
    return _mean(loss, known)


def boundary_loss(logits: Tensor, target: Tensor) -> Tensor:
    """``mean_boundary + mean_background / 2 + mean_object / 2`` of the cross entropy (RETAB).

    ``logits`` (B, 1, H, W); ``target`` (B, H, W) of INSIDE_BACKGROUND, INSIDE_OBJECT, BOUNDARY and IGNORE.
    Each mean is over its own pixels of the batch; a kind that does not occur adds nothing.
    """
    scores = logits[:, 0]
    loss = F.binary_cross_entropy_with_logits(scores, (target == BOUNDARY).float(), reduction="none")
    parts = ((BOUNDARY, 1.0), (INSIDE_BACKGROUND, 0.5), (INSIDE_OBJECT, 0.5))
    return torch.stack([weight * _mean(loss, target == kind) for kind, weight in parts]).sum()


def affinity_loss(features: Tensor, labels: Tensor, offsets: Offsets) -> Tensor:
    """``same background / 4 + same object class / 4 + different / 2``, each the mean over its pairs (PSA).

    ``features`` (B, C, h, w) of the affinity network; ``labels`` (B, h, w) of 0 background, 1..n classes and
    IGNORE, on the same grid. Pairs that touch IGNORE are left out; a kind without pairs adds nothing.
    """
    sums = {kind: features.new_zeros(()) for kind in ("background", "object", "different")}
    counts = dict.fromkeys(sums, 0)
    for offset in offsets:
        distance = pair_distances(features, offset)
        (y, x), (v, u) = overlap((labels.shape[-2], labels.shape[-1]), offset)
        first, second = labels[:, y, x], labels[:, v, u]
        known = (first != IGNORE) & (second != IGNORE)
        same = known & (first == second)
        # with a = exp(-d): -log a = d, and -log(1 - a) for the pairs that should be far apart
        far = -torch.log1p(-torch.exp(-distance.clamp(min=1e-5)))
        kinds = {"background": (distance, same & (first == 0)), "object": (distance, same & (first != 0))}
        kinds["different"] = (far, known & ~same)
        for kind, (loss, where) in kinds.items():
            sums[kind] = sums[kind] + loss[where].sum()
            counts[kind] += int(where.sum())
    weights = {"background": 0.25, "object": 0.25, "different": 0.5}
    total = [weights[kind] * value / max(counts[kind], 1) for kind, value in sums.items()]
    return torch.stack(total).sum()


def segmentation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of (B, n + 1, H, W) logits against (B, H, W) labels; zero where all is IGNORE."""
    labels = labels.long()
    loss = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")
    return loss / (labels != IGNORE).sum().clamp(min=1)


def _mean(loss: Tensor, where: Tensor) -> Tensor:
    """Mean of ``loss`` over the elements at ``where``; zero, with a gradient of zero, without any."""
    return (loss * where).sum() / where.sum().clamp(min=1)
