"""Networks that need no training because their world is simple: a class is a colour.

They keep the contracts of the real ones and can fail as they do: the classifier answers where its colour is,
however faintly, and a response map is divided by its own maximum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.core.types import Image
from backends.weak_shot.classes import ClassSet
from backends.weak_shot.networks import grid_of, normalised
from backends.weak_shot.propagation import Walk
from backends.weak_shot.recipe import ResponseConfig
from backends.weak_shot.weights_file import Bundle

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 220)}
GROUND = (120, 120, 120)
CLASSES = ClassSet(tuple(COLOURS), frozenset({"blue"}))


def _cells(rgb: Tensor) -> Tensor:
    height, width = rgb.shape[-2:]
    margin = (0, -width % 8, 0, -height % 8)
    return F.avg_pool2d(F.pad(rgb, margin, mode="replicate"), 8)


class ColourClassifier(nn.Module):
    """A class answers most in the middle of its colour, as classifiers do in the middle of objects."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Parameter(torch.tensor(list(COLOURS.values())).float() / 255)

    def cam(self, rgb: Tensor) -> Tensor:
        gap = (_cells(rgb)[:, None] - self.colours[None, :, :, None, None]).abs().sum(2)
        near = torch.exp(-4 * gap)
        return F.avg_pool2d(F.pad(near, (1, 1, 1, 1), mode="replicate"), 3, 1)

    def read(self, maps: Tensor) -> Tensor:
        return normalised(maps)

    def forward(self, rgb: Tensor) -> Tensor:
        return 16 * (self.cam(rgb).amax((2, 3)) - 0.3)


class ColourAffinity(nn.Module):
    """Features are colours."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(6.0))

    def forward(self, rgb: Tensor) -> Tensor:
        found = self.weight * _cells(rgb)
        assert found.shape[-2:] == grid_of(rgb.shape[-2], rgb.shape[-1])
        return found


class ColourBoundary(nn.Module):
    """A boundary is where neighbouring pixels differ."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(40.0))

    def forward(self, rgb: Tensor) -> Tensor:
        wide = F.pad(rgb, (0, 1, 0, 1), mode="replicate")
        steps = [wide[..., 1:, :-1] - rgb, wide[..., :-1, 1:] - rgb]
        change = torch.stack(steps).abs().sum(2, keepdim=False).amax(0)[:, None]
        return self.weight * (change - 0.3)


def toy_bundle(**parts: Any) -> Bundle:
    """All three networks; name one with None to leave it out."""
    whole = {
        "classifier": ColourClassifier().eval(),
        "affinity": ColourAffinity().eval(),
        "boundary": ColourBoundary().eval(),
        "walk": Walk(),
        "responses": ResponseConfig(scales=(1.0,), alpha=8.0),
    }
    return Bundle("mobilenet_v2", CLASSES, **{**whole, **parts})


def discs(height: int, width: int, **where: tuple[float, float, float]) -> tuple[Image, dict[str, Any]]:
    """A picture with a disc per class, ``name=(y, x, radius)`` in px, and the true masks by name."""
    draw = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    image = np.empty((height, width, 3), np.int64)
    image[:] = GROUND
    truth = {name: (y - cy) ** 2 + (x - cx) ** 2 < r * r for name, (cy, cx, r) in where.items()}
    for name, mask in truth.items():
        image[mask] = COLOURS.get(name, (230, 220, 40))
    noisy = image + draw.integers(-6, 7, image.shape)
    return noisy.clip(0, 255).astype(np.uint8), truth


def overlap_of(one: Any, other: Any) -> float:
    """Intersection over union."""
    return float((one & other).sum() / max(1, (one | other).sum()))
