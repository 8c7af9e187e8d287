"""How far a mask can be trusted: signals of one object on one frame, and their calibration to an expected J.

The signals are in 0..1 or plain ratios and come from what the passes leave anyway: entropy of the
probabilities, disagreement of the forward and the backward pass, the jump of the instance centre, how
familiar the object's cells look to the template, how well the frame follows from the one before, how far the
nearest frame is on which a person said something. The calibration is a logistic model fitted against the true
J and stored with the weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from backends.core.errors import SetupFault

SIGNALS = ("certainty", "entropy", "disagreement", "jump", "familiar", "steady", "distance", "change")
SPEAKS_FOR = frozenset({"certainty", "familiar", "steady"})  # the more, the surer; of the others the less


@dataclass(frozen=True)
class Calibration:
    """``sigmoid(bias + sum(weight * signal))``; without weights the certainty as it is."""

    weights: Mapping[str, float] = field(default_factory=dict)
    bias: float = 0.0

    @staticmethod
    def read(text: str | None) -> Calibration:
        """From the weights' metadata. Raises SetupFault for signals that are not known here."""
        if not text:
            return Calibration()
        values = json.loads(text)
        unknown = set(values["weights"]) - set(SIGNALS)
        if unknown:
            raise SetupFault(f"the weights' confidence names unknown signals: {', '.join(sorted(unknown))}")
        return Calibration({k: float(v) for k, v in values["weights"].items()}, float(values["bias"]))

    def text(self) -> str:
        """For the weights' metadata."""
        return json.dumps({"weights": dict(self.weights), "bias": self.bias}, allow_nan=False)

    def of(self, signals: Mapping[str, float]) -> float:
        """Expected J, 0..1."""
        if not self.weights:
            return signals["certainty"]
        total = self.bias + sum(w * signals[name] for name, w in self.weights.items())
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, total))))


def certainty(probability: Tensor) -> float:
    """Mean probability inside the mask; for an empty mask, how sure it is that nothing is there."""
    inside = probability > 0.5
    value = probability[inside].mean() if bool(inside.any()) else 1 - probability.max()
    return float(value)


def entropy(probability: Tensor) -> float:
    """Binary entropy summed over the map, per cell of the mask, in bits, squashed to 0..1."""
    p = probability.clamp(1e-4, 1 - 1e-4)
    bits = -(p * p.log2() + (1 - p) * (1 - p).log2()) * ((probability > 0.02) & (probability < 0.98))
    ratio = float(bits.sum()) / max(1.0, float((probability > 0.5).sum()))
    return ratio / (1.0 + ratio)


def disagreement(one: Tensor, other: Tensor) -> float:
    """1 - IoU of two soft masks; 0 where both are empty."""
    union = float(torch.maximum(one, other).sum())
    return 0.0 if union < 1.0 else 1.0 - float(torch.minimum(one, other).sum()) / union


def jump(before: Tensor, after: Tensor, area: float) -> float:
    """Distance of two centres (2,) in radii of a disc with the object's area, at most 4."""
    radius = math.sqrt(max(area, 1.0) / math.pi)
    return min(4.0, float((before - after).norm()) / radius)


def familiar(similarity: Tensor, mask: Tensor) -> float:
    """Mean best similarity (P,) of the object's cells to its template rows; ``mask`` (P,) shares."""
    weight = mask * (mask > 0.25)
    total = float(weight.sum())
    return 0.0 if total == 0 else float((similarity * weight).sum()) / total


def change(area: float, before: float) -> float:
    """|log2| of the area's ratio to the last frame's, at most 4."""
    return min(4.0, abs(math.log2((area + 16.0) / (before + 16.0))))
