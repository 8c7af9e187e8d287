"""Shares with a prior: base masks teach what an object is, whatever its class, and that leans every cell.

Tags alone cannot tell an object from the scene that it always stands in: a class known from one clip is shown
as well by its meadow. What sets objects of base classes apart from their background is class-agnostic, like
the affinities and boundaries that RETAB transfers; learned from base masks only, it stands in for the
background's missing knowledge on photos of novel classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.weak_shot.losses import IGNORE
from backends.weak_shot.shares import ShareClassifier, Sharing, share_losses

_MOST = 4.0
"""Logits of the prior count up to this: the classes may still overrule it."""


class ObjectShareClassifier(ShareClassifier):
    """A :class:`ShareClassifier` whose background logit is lowered where something looks like an object."""

    def __init__(self, trunk_name: str, n: int, width: int = 256, dropout: float = 0.3, top: float = 0.05):
        super().__init__(trunk_name, n, width, dropout, top)
        channels = self.hidden.in_channels
        self.object_hidden = nn.Conv2d(channels, width // 2, 1)
        self.object_head = nn.Conv2d(width // 2, 1, 1)

    def object_logits(self, rgb: Tensor) -> Tensor:
        """(B, 1, h, w): whether a cell belongs to an object, learned from base masks alone."""
        return self._objects(self.features(rgb))

    def logits(self, rgb: Tensor) -> Tensor:
        """(B, n + 1, h, w), background first and lowered by the prior, which tags cannot teach."""
        features = self.features(rgb)
        found = self.classes_of(features)
        prior = self._objects(features).detach().clamp(-_MOST, _MOST).to(found.dtype)
        return torch.cat([found[:, :1] - prior, found[:, 1:]], 1)

    def _objects(self, features: Tensor) -> Tensor:
        found: Tensor = self.object_head(self.dropout(F.relu(self.object_hidden(features))))
        return found


def object_share_losses(
    network: ObjectShareClassifier, rgb: Tensor, tags: Tensor, labels: Tensor, how: Sharing | None = None
) -> dict[str, Tensor]:
    """As :func:`share_losses`, and ``objects``: labelled cells of base masks against the prior's logits.

    Both sides count half, so that small objects are learned from a wide background.
    """
    parts = share_losses(network, rgb, tags, labels, how)
    logits = network.object_logits(rgb).float()[:, 0]
    cells = F.interpolate(labels[:, None].float(), logits.shape[-2:], mode="nearest-exact")[:, 0]
    known, is_object = cells != IGNORE, (cells > 0) & (cells != IGNORE)
    each = F.binary_cross_entropy_with_logits(logits, is_object.float(), reduction="none")
    sides = [each[side].mean() for side in (is_object, known & ~is_object) if bool(side.any())]
    objects = torch.stack(sides).mean() if sides else logits.sum() * 0
    return {**parts, "loss": parts["loss"] + objects, "objects": objects}
