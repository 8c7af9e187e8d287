"""Training samples: labelled frames cut, scaled, mirrored and relit; the same index gives the same sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadInput
from backends.core.types import Image
from backends.video_semantic import views
from backends.video_semantic.scenes import Labels, Scenes
from backends.video_semantic.views import Float, Jitter

KEPT_BYTES = 1 << 30
"""Decoded frames that are remembered; beyond that they are read again each time."""


@dataclass(frozen=True)
class SampleConfig:
    """How samples are made."""

    crop_hw: tuple[int, int] = (320, 416)
    """Rows and columns of a sample."""
    scale: tuple[float, float] = (0.5, 2.0)
    """Range of the (log-uniform) enlargement."""
    jitter: float = 1.0
    """Strength of changed light and colour; 0: none."""
    rare: float = 0.5
    """Share of samples that look at a pixel of a class drawn evenly from all; the others look anywhere."""

    def __post_init__(self) -> None:
        if any(side < 16 or side % 16 for side in self.crop_hw):
            raise BadInput(f"sample.crop_hw {self.crop_hw}: wants multiples of 16")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise BadInput(f"sample.scale {self.scale}: wants two positive numbers, the smaller one first")


@dataclass(frozen=True)
class Sample:
    """One crop: (h, w, 3) float32 RGB in [0, 1], and (h, w) uint8 class ids or 255."""

    image: Float
    labels: Labels


class Stock:
    """The labelled frames of a training, and which of them show which class."""

    def __init__(self, scenes: Scenes, counts: NDArray[np.int64]):
        self.scenes = scenes
        self.items = scenes.labelled()
        self.counts = counts
        """(labelled frames, n) pixels per class."""
        self._kept: dict[tuple[int, int], tuple[Image, Labels]] = {}
        self._bytes = 0

    def read(self, item: tuple[int, int]) -> tuple[Image, Labels]:
        """Frame and label map, remembered while there is room."""
        if item in self._kept:
            return self._kept[item]
        pair = self.scenes.image(*item), self.scenes.labels(*item)
        size = sum(part.nbytes for part in pair)
        if self._bytes + size <= KEPT_BYTES:
            self._kept[item] = pair
            self._bytes += size
        return pair

    def choose(self, rng: np.random.Generator, rare: float) -> tuple[tuple[int, int], int | None]:
        """A labelled frame, and a class to look at in it or None."""
        shown = np.flatnonzero(self.counts.any(0))
        if rng.random() >= rare or not len(shown):
            return self.items[int(rng.integers(len(self.items)))], None
        wanted = int(rng.choice(shown))
        return self.items[int(rng.choice(np.flatnonzero(self.counts[:, wanted])))], wanted


def draw(stock: Stock, config: SampleConfig, seed: int, index: int) -> Sample:
    """Sample ``index`` of the endless row that ``seed`` makes."""
    rng = np.random.default_rng((seed, index))
    item, wanted = stock.choose(rng, config.rare)
    image, labels = stock.read(item)
    scale = float(np.exp(rng.uniform(*np.log(config.scale))))
    matrix = views.crop_matrix(
        focus(labels, wanted, rng), (labels.shape[0], labels.shape[1]), config.crop_hw, scale, rng
    )
    seen = views.warp_image(image, matrix, config.crop_hw)
    light = Jitter.draw(rng, config.jitter).seen(seen, rng)
    return Sample(light, views.warp_labels(labels, matrix, config.crop_hw))


def focus(labels: Labels, wanted: int | None, rng: np.random.Generator) -> tuple[float, float]:
    """(x, y) of a pixel of class ``wanted``, or of any pixel."""
    height, width = labels.shape
    if wanted is None:
        return float(rng.uniform(0, width)), float(rng.uniform(0, height))
    places = np.flatnonzero(labels == wanted)
    at = int(places[rng.integers(len(places))])
    return float(at % width), float(at // width)
