"""SEAM: activation maps that agree across scales and are corrected by the image's own likeness.

Source: Wang et al., "Self-supervised Equivariant Attention Mechanism for Weakly Supervised Semantic
Segmentation", CVPR 2020. One network sees an image and its reduction to three tenths; the maps of both must
agree (ER), and each must agree with the other's refined by the pixel correlation module (ECR).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.weak_shot.losses import tag_loss
from backends.weak_shot.networks import Classifier, pooled, resized, stages_of

REDUCED = 0.3
"""Scale of the second look."""
_HARDEST = 0.2
"""Share of the cells, those that agree least, that ECR counts."""
_LEAST = 0.25
"""Share of the cells, those with the smallest response, that the min-pooling term presses to zero."""
_EPS = 1e-5


@dataclass(frozen=True)
class Looks:
    """(B, n, h, w) each: ``raw`` activations of either sign, ``refined`` ones >= 0, on one grid."""

    raw: Tensor
    refined: Tensor


class CorrelationModule(nn.Module):
    """PCM: each cell's activations become the mean over the cells that look like it.

    Likeness is the ReLU of the cosine between embeddings of colour and of two middle depths of the trunk,
    whose gradient stops here; the scores that are averaged carry no gradient either.
    """

    def __init__(self, middle: tuple[int, int]):
        super().__init__()
        self.shallow = nn.Conv2d(middle[0], 64, 1, bias=False)
        self.deep = nn.Conv2d(middle[1], 128, 1, bias=False)
        self.embed = nn.Conv2d(3 + 64 + 128, 192, 1, bias=False)

    def forward(self, activations: Tensor, rgb: Tensor, shallow: Tensor, deep: Tensor) -> Tensor:
        """(B, n, h, w) >= 0 on the grid of ``activations`` (B, n, h, w)."""
        size = activations.shape[-2:]
        near = F.relu(self.shallow(resized(shallow.detach(), size)))
        far = F.relu(self.deep(resized(deep.detach(), size)))
        looks = F.normalize(self.embed(torch.cat([resized(rgb, size), near, far], 1)).flatten(2), dim=1)
        alike = F.relu(looks.transpose(1, 2) @ looks)
        alike = alike / (alike.sum(1, keepdim=True) + _EPS)
        scores = winning(F.relu(activations.detach()))
        found: Tensor = (scores.flatten(2) @ alike).view_as(scores)
        return found


def winning(maps: Tensor) -> Tensor:
    """(B, n, h, w) >= 0 -> [0, 1]: each map over its range, kept only where no other class is larger."""
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    scaled = F.relu(maps - low - _EPS) / (high - low + _EPS)
    kept: Tensor = scaled * (scaled == scaled.amax(1, keepdim=True))
    return kept


class SeamClassifier(Classifier):
    """A classifier whose maps a correlation module refines; ``cam`` gives the refined ones."""

    def __init__(self, trunk_name: str, n: int, top: float = 1.0, dropout: float = 0.5):
        super().__init__(trunk_name, n, top, dropout)
        *_, (_, shallow), (_, deep), _ = self.trunk.stages
        self.correlation = CorrelationModule((shallow, deep))

    def looks(self, rgb: Tensor) -> Looks:
        """Activations of ``rgb`` (B, 3, H, W) as the head gives them, and refined."""
        *_, shallow, deep, last = stages_of(self.trunk, rgb)
        raw = self.head(self.dropout(last))
        return Looks(raw, self.correlation(raw, rgb, shallow, deep))

    def cam(self, rgb: Tensor) -> Tensor:
        """(B, n, h, w) >= 0: refined class activation maps."""
        return self.looks(rgb).refined


def seam_losses(network: SeamClassifier, rgb: Tensor, tags: Tensor) -> dict[str, Tensor]:
    """``loss`` to descend and its parts, of ``rgb`` (B, 3, H, W) with ``tags`` (B, n) of 0, 1 and 255."""
    shown = (tags == 1).float()[:, :, None, None]
    small = F.interpolate(rgb, scale_factor=REDUCED, mode="bilinear", align_corners=False, antialias=True)
    large, reduced = network.looks(rgb), network.looks(small)
    size = reduced.raw.shape[-2:]
    classify = (
        tag_loss(pooled(large.raw, network.top), tags) + tag_loss(pooled(reduced.raw, network.top), tags)
    ) / 2
    least = (smallest(large.refined * shown) + smallest(reduced.refined * shown)) / 2
    one, other = (scaled_up(resized(x, size)) * shown for x in (large.raw, reduced.raw))
    refined = [resized(x.refined, size) * shown for x in (large, reduced)]
    er = (one - other).abs().mean()
    ecr = (hardest(refined[0], other) + hardest(refined[1], one)) / 2
    return {"loss": classify + least + er + ecr, "tags": classify, "least": least, "er": er, "ecr": ecr}


def scaled_up(activations: Tensor) -> Tensor:
    """(B, n, h, w) of either sign -> [0, 1], each map divided by its largest value."""
    maps = F.relu(activations)
    return maps / (maps.amax((2, 3), keepdim=True) + _EPS)


def hardest(refined: Tensor, other: Tensor) -> Tensor:
    """ECR: mean difference of refined maps from the other look's winners, over the cells that differ most."""
    difference = (refined - winning(other.detach())).abs().flatten(1)
    count = max(1, int(_HARDEST * difference.shape[1]))
    return difference.topk(count, 1).values.mean()


def smallest(maps: Tensor) -> Tensor:
    """The quarter of the cells that answer least, which should not answer at all: their mean."""
    answers = maps.amax(1).flatten(1)
    count = max(1, int(_LEAST * answers.shape[1]))
    return F.relu(answers.topk(count, 1, largest=False).values).mean()
