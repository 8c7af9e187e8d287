"""What the networks say of one photo, and the labels that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backends.weak_shot import grid, networks
from backends.weak_shot.labels import Labels
from backends.weak_shot.propagation import Walk, propagate


@dataclass(frozen=True)
class Evidence:
    """Of a photo of ``size_hw`` pixels: ``responses`` (K, h, w) in [0, 1] of the classes ``ids[1:]``.

    ``pairs`` (n_off, h, w) are affinities and ``edges`` (h, w) boundary probabilities, where there are any;
    without affinities nothing is spread.
    """

    size_hw: tuple[int, int]
    ids: tuple[int, ...]
    responses: NDArray[np.float32]
    pairs: NDArray[np.float32] | None = None
    edges: NDArray[np.float32] | None = None

    def labels(self, alpha: float, walk: Walk, size_hw: tuple[int, int] | None = None) -> Labels:
        """(H, W) labels at ``size_hw`` or the photo's size; the background scores ``(1 - max) ** alpha``."""
        scores = grid.with_background(self.responses, alpha)
        if self.pairs is not None:
            scores = propagate(scores, self.pairs, self.edges, walk)
        return grid.labels_at(scores, self.ids, self.size_hw, size_hw or self.size_hw, networks.GRID)
