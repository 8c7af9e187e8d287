"""Folding a batch normalisation into the convolution before it: one affine map computes both.

``norm(conv(x)) = (W x - mean) * gamma / sqrt(var + eps) + beta``, so the convolution with weights
``W * scale`` and bias ``beta - mean * scale``, ``scale = gamma / sqrt(var + eps)``, answers the same. Only
for statistics that stay as they are, which is how every trunk here is used.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

EPS = 1e-5
"""torchvision's, which every batch normalisation of its classifiers has."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""What torchvision's classifiers subtract from RGB in [0, 1], and divide by."""


def fold(state: Mapping[str, Tensor], conv: str, norm: str, eps: float = EPS) -> tuple[Tensor, Tensor]:
    """Weight and bias, float32, of convolution ``conv`` (without a bias of its own) followed by ``norm``.

    Both are names in ``state``. Raises KeyError when one of their tensors is missing.
    """
    scale = state[f"{norm}.weight"].float() / torch.sqrt(state[f"{norm}.running_var"].float() + eps)
    weight = state[f"{conv}.weight"].float() * scale[:, None, None, None]
    return weight, state[f"{norm}.bias"].float() - state[f"{norm}.running_mean"].float() * scale


def fill(conv: nn.Conv2d, name: str, weight: Tensor, bias: Tensor) -> None:
    """Copy a folded ``weight`` and ``bias`` into ``conv``. Raises ValueError, naming it, if shapes differ."""
    if weight.shape != conv.weight.shape:
        raise ValueError(f"{name}: {tuple(weight.shape)} does not fit {tuple(conv.weight.shape)}")
    assert conv.bias is not None
    with torch.no_grad():
        conv.weight.copy_(weight)
        conv.bias.copy_(bias)
