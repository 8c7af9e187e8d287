"""How far a class's pseudo-mask can be trusted, so that a reviewer sees the doubtful ones first.

Nothing here knows the truth. Three signs stand in for it, and a fourth where a classifier has learned the
class: does the mask lie where the class answered, does it end where a boundary is predicted, did it win
clearly, and does the classifier see the class in the image at all. The last one weighs most: a response map
is divided by its own maximum, so a class that is not there responds as strongly as one that is.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
_LEAST = 0.02  # a sign that fails makes the trust low; it does not make it 0, so that the others still rank
_SEED = 0.5  # share of its maximum at which a response counts as a seed


@dataclass(frozen=True)
class Grounds:
    """What speaks for a mask, each 0..1; None where there is nothing to say."""

    agreement: float
    """Of response and mask: their soft Dice coefficient, times the share of seeds that the mask keeps."""
    closure: float | None
    """Mean boundary probability along the contour, a cell's play allowed. None: no boundary network."""
    margin: float
    """Mean of (best - second) / (best + second) over the mask."""
    presence: float | None
    """The classifier's probability of the class. None: it has none, or a person showed where the class is."""

    @property
    def trust(self) -> float:
        """The geometric mean of the signs inside the image, times the presence; 0..1."""
        signs = [sign for sign in (self.agreement, self.closure, self.margin) if sign is not None]
        product = float(np.prod([max(sign, _LEAST) for sign in signs]))
        mean: float = product ** (1 / len(signs))
        return mean if self.presence is None else mean * self.presence


_NONE = Grounds(0.0, None, 0.0, 0.0)


def grounds(
    row: int, scores: Float, response: Float, boundary: Float | None, presence: float | None
) -> Grounds:
    """What speaks for the mask of ``row``.

    ``scores`` (K, h, w) after propagation, ``response`` (h, w) of the class in 0..1 before it, ``boundary``
    (h, w) probability on the grid or None. A class without a cell gets trust 0.
    """
    mask = scores.argmax(axis=0) == row
    if not mask.any():
        return _NONE
    return Grounds(
        agreement=_agreement(mask, response),
        closure=None if boundary is None else _closure(mask, boundary),
        margin=_margin(mask, scores, row),
        presence=presence,
    )


def _agreement(mask: Mask, response: Float) -> float:
    seeds = response >= _SEED * max(float(response.max()), 1e-6)
    kept = float((seeds & mask).sum() / max(1, seeds.sum()))
    soft = float(2 * response[mask].sum() / (response.sum() + mask.sum()))
    return min(1.0, soft) * kept


def _closure(mask: Mask, boundary: Float) -> float:
    """0 for a mask without a contour: it fills the image, and nothing holds it."""
    contour = mask & ~_eroded(mask)
    if not contour.any():
        return 0.0
    near = cv2.dilate(boundary.astype(np.float32), np.ones((3, 3), np.uint8))
    return float(np.asarray(near)[contour].mean())


def _eroded(mask: Mask) -> Mask:
    """Cells whose four neighbours are in the mask; what lies outside of the image counts as in it."""
    wide = np.pad(mask, 1, constant_values=True)
    return np.asarray(mask & wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:])


def _margin(mask: Mask, scores: Float, row: int) -> float:
    best = scores[row][mask]
    second = np.delete(scores, row, axis=0)[:, mask].max(axis=0, initial=0)
    return float(np.mean((best - second) / np.maximum(best + second, 1e-12)))
