"""Does a number tell the truth about another? Rank correlation and reliability bins, in NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadInput


@dataclass(frozen=True)
class Bin:
    """Pairs of neighbouring confidence: how many, their mean confidence and their mean J (0..1)."""

    count: int
    confidence: float
    j: float


def average_ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)


def spearman(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Pearson's correlation of the average ranks, -1..1; None when either side never changes.

    Raises BadInput for differing lengths or fewer than two pairs.
    """
    if len(one) != len(other) or len(one) < 2:
        raise BadInput(f"{len(one)} and {len(other)} values: a correlation wants two or more pairs")
    a, b = average_ranks(one), average_ranks(other)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def bins(confidence: Sequence[float], j: Sequence[float], count: int = 10) -> list[Bin]:
    """At most ``count`` bins of about equally many pairs, by confidence; equal confidences stay together."""
    sure, true = np.asarray(confidence, np.float64), np.asarray(j, np.float64)
    edges = np.unique(np.quantile(sure, np.linspace(0, 1, count + 1)))
    place = np.clip(np.searchsorted(edges, sure, side="right") - 1, 0, max(0, len(edges) - 2))
    return [
        Bin(int(inside.sum()), float(sure[inside].mean()), float(true[inside].mean()))
        for number in range(max(1, len(edges) - 1))
        if (inside := place == number).any()
    ]


def calibration_error(found: Sequence[Bin]) -> float:
    """Mean distance of confidence and J over bins, each weighing as many pairs as it holds (0..1)."""
    total = sum(b.count for b in found)
    return sum(b.count * abs(b.confidence - b.j) for b in found) / total


def found_bad(confidence: Sequence[float], j: Sequence[float], *, bad: float, share: float) -> float | None:
    """Of the pairs with J below ``bad``, the part that is among the ``share`` with the lowest confidence.

    Choosing blindly would find about ``share``; None when no pair is that bad.
    """
    sure, true = np.asarray(confidence, np.float64), np.asarray(j, np.float64)
    if not (true < bad).any():
        return None
    looked_at = np.argsort(sure, kind="stable")[: max(1, round(share * len(sure)))]
    return float((true[looked_at] < bad).sum() / (true < bad).sum())
