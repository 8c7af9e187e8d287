"""One confusion matrix over a whole set of label maps, and the IoU per class that follows from it.

The mean IoU of segmentation benchmarks comes from counts gathered over all pictures, never from a mean of
per-picture scores. Statistics first, ratios after.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadMask


class Confusion:
    """Counts pixels by (true class, predicted class); pixels whose truth is ``ignore`` do not count."""

    def __init__(self, n_classes: int, ignore: int = 255) -> None:
        """Classes are 0..n_classes-1. Raises ValueError when ``ignore`` is one of them."""
        if n_classes < 1 or 0 <= ignore < n_classes:
            raise ValueError(
                f"{n_classes} classes with ignore={ignore}: wants one or more, ignore none of them"
            )
        self.n_classes = n_classes
        self.ignore = ignore
        self.counts: NDArray[np.int64] = np.zeros((n_classes, n_classes), np.int64)  # [truth, predicted]

    def add(self, truth: NDArray[np.integer], predicted: NDArray[np.integer]) -> None:
        """Count one picture: both (H, W) class ids.

        Raises BadMask for different sizes, a true id that is neither a class nor ``ignore``, and a predicted
        id that is no class (a prediction has to name one everywhere); nothing is counted then.
        """
        if truth.shape != predicted.shape:
            raise BadMask(f"label maps of different size: truth {truth.shape}, prediction {predicted.shape}")
        counted = truth != self.ignore
        true, found = truth[counted].astype(np.int64), predicted[counted].astype(np.int64)
        self._check(true, "truth")
        self._check(found, "prediction")
        pairs = np.bincount(true * self.n_classes + found, minlength=self.n_classes**2)
        self.counts += pairs.reshape(self.n_classes, self.n_classes)

    def merge(self, other: Confusion) -> None:
        """Add what another matrix over the same classes has counted. Raises ValueError for other classes."""
        if (other.n_classes, other.ignore) != (self.n_classes, self.ignore):
            raise ValueError(f"{other.n_classes} classes cannot be added to {self.n_classes}")
        self.counts += other.counts

    def iou(self) -> NDArray[np.float64]:
        """(n_classes,) intersection over union, 0..1; NaN for a class in neither truth nor prediction."""
        hit = np.diagonal(self.counts).astype(np.float64)
        union = self.counts.sum(0) + self.counts.sum(1) - hit
        iou = np.full(self.n_classes, np.nan)
        np.divide(hit, union, out=iou, where=union > 0)
        return iou

    def miou(self) -> float:
        """The mean of :meth:`iou` over the classes that have one; NaN when nothing has been counted."""
        iou = self.iou()
        return float(np.nanmean(iou)) if np.isfinite(iou).any() else float("nan")

    def pixel_accuracy(self) -> float:
        """The share of counted pixels with the right class; NaN when nothing has been counted."""
        total = int(self.counts.sum())
        return float(np.trace(self.counts) / total) if total else float("nan")

    def _check(self, ids: NDArray[np.int64], what: str) -> None:
        if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= self.n_classes):
            odd = int(ids.max()) if int(ids.max()) >= self.n_classes else int(ids.min())
            raise BadMask(f"class {odd} in the {what}; the classes are 0 to {self.n_classes - 1}")
