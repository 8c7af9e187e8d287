"""Where a classifier saw the classes that an image is tagged with, and the labels that follow from it.

Source: PSA (Ahn and Kwak, CVPR 2018), whose recipe RETAB keeps: activation maps of several scales and of the
mirror image added up, the tagged classes divided by their largest value, ``(1 - max) ** alpha`` for the
background. PSA reads seeds off after a dense conditional random field; here :mod:`refinement` leads scores
along the photo's colours, or nothing does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from backends.core.errors import BadInput
from backends.core.types import Image
from backends.weak_shot.classes import IGNORE
from backends.weak_shot.grid import with_background
from backends.weak_shot.networks import grid_of
from backends.weak_shot.refinement import Refinement, refined

Scores = NDArray[np.float32]
SCALES = (1.0, 0.5, 1.5, 2.0)
_SMALLEST_SIDE = 16
_NO_SCORE = 1e-5
REFINED_STRIDE = 4
"""Scores are led along the colours of the photo at a quarter of its size."""


class Responding(Protocol):
    """A classifier that says where it looked."""

    def cam(self, rgb: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], on the CPU -> (B, n, h, w) >= 0."""

    def read(self, maps: Tensor) -> Tensor:
        """(K, h, w) of an image's tags, mean of its views -> (K, h, w) in [0, 1]."""


def responses(
    classifier: Responding,
    image: Image,
    tag_ids: Sequence[int],
    scales: Sequence[float] = SCALES,
    flip: bool = True,
) -> Scores:
    """(K, ceil(H/8), ceil(W/8)) in [0, 1]: one map per tagged class, in the order of ``tag_ids`` (1..n).

    ``image`` is (H, W, 3) uint8 RGB. A class that the classifier sees nowhere gets zeros. Raises BadInput for
    no tag.
    """
    if not len(tag_ids):
        raise BadInput("no tag: responses are read off for tagged classes only; tag the image first")
    rows = torch.tensor([number - 1 for number in tag_ids])
    rgb = _rgb(image)
    size = grid_of(image.shape[0], image.shape[1])
    total = rgb.new_zeros((len(rows), *size))
    with torch.inference_mode():
        for view in _views(rgb, scales):
            pair = torch.cat([view, view.flip(-1)]) if flip else view
            maps = F.interpolate(classifier.cam(pair)[:, rows], size, mode="bilinear", align_corners=False)
            total += (maps[0] + maps[1].flip(-1)) / 2 if flip else maps[0]
        found: Scores = classifier.read(total / len(tuple(scales))).numpy()
    return found


def _rgb(image: Image) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255


def _views(rgb: Tensor, scales: Sequence[float]) -> list[Tensor]:
    height, width = rgb.shape[-2:]
    sizes = [[max(_SMALLEST_SIDE, round(side * scale)) for side in (height, width)] for scale in scales]
    return [
        rgb
        if scale == 1
        else F.interpolate(rgb, size, mode="bilinear", align_corners=False, antialias=scale < 1)
        for scale, size in zip(scales, sizes, strict=True)
    ]


def seeds(
    found: Scores,
    image: Image,
    tag_ids: Sequence[int],
    foreground: float = 4.0,
    background: float = 32.0,
    refinement: Refinement | None = None,
) -> NDArray[np.uint8]:
    """(H, W) labels of ``image`` (H, W, 3) from its responses ``found`` (K, h, w): sure pixels, else 255.

    A class where it wins against a strong background (exponent ``foreground``), background (0) where that
    wins though weak (exponent ``background``), 255 where the two disagree or nothing answers. With a
    ``refinement`` the scores follow the colours of the photo first.
    """
    ids = np.array([0, *tag_ids], np.uint8)
    strong, weak = (
        _enlarged(with_background(found, alpha), image, refinement) for alpha in (foreground, background)
    )
    labels: NDArray[np.uint8] = ids[strong.argmax(0)]
    labels[labels == 0] = IGNORE
    labels[weak.argmax(0) == 0] = 0
    labels[np.maximum(strong.max(0), weak.max(0)) < _NO_SCORE] = IGNORE
    return labels


def _enlarged(scores: Scores, image: Image, refinement: Refinement | None) -> Scores:
    """(K, h, w) scores at the size of ``image``, refined on the way."""
    height, width = image.shape[:2]
    maps = torch.from_numpy(scores)[None]
    with torch.inference_mode():
        if refinement is not None:
            size = grid_of(height, width, REFINED_STRIDE)
            maps = F.interpolate(maps, size, mode="bilinear", align_corners=False)
            maps = refined(maps[0], F.interpolate(_rgb(image), size, mode="area")[0], refinement)[None]
        large: Scores = F.interpolate(maps, (height, width), mode="bilinear", align_corners=False)[0].numpy()
    return large
