"""C, C_base and C_novel: the quality of label maps over all classes, the base ones and the novel ones.

All three are means of one accumulated confusion matrix's IoU per class (0..1); C_base includes the
background. A class in neither truth nor prediction has no IoU and does not count. RETAB (arXiv 2110.01519)
and its kin let such a class score 0 instead; on whole sets, where every class occurs, both are the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.core.confusion import Confusion
from backends.weak_shot.classes import BACKGROUND, ClassSet

_SLACK = 1e-9  # of the identity below; the two sides differ in the order of summation only


@dataclass(frozen=True)
class Scores:
    """IoU, 0..1, NaN where no class counts. ``n_base`` and ``n_novel`` are how many classes count.

    Holds ``c = (n_base c_base + n_novel c_novel) / (n_base + n_novel)``; raises ArithmeticError otherwise.
    """

    c: float
    c_base: float
    c_novel: float
    n_base: int
    n_novel: int
    per_class: Mapping[str, float]

    def __post_init__(self) -> None:
        parts = [(self.n_base, self.c_base), (self.n_novel, self.c_novel)]
        total = sum(n for n, _ in parts)
        mean = sum(n * c for n, c in parts if n) / total if total else math.nan
        if not (abs(mean - self.c) <= _SLACK or (math.isnan(mean) and math.isnan(self.c))):
            raise ArithmeticError(f"C is {self.c}, but C_base and C_novel make it {mean}")

    def to_json(self) -> dict[str, Any]:
        """The same by name; what is not a number becomes None."""
        return {
            "c": _figure(self.c),
            "c_base": _figure(self.c_base),
            "c_novel": _figure(self.c_novel),
            "n_base": self.n_base,
            "n_novel": self.n_novel,
            "per_class": {name: _figure(value) for name, value in self.per_class.items()},
        }


def new_confusion(classes: ClassSet) -> Confusion:
    """An empty matrix over the background and all classes; truth 255 is ignored."""
    return Confusion(len(classes) + 1)


def scores(confusion: Confusion, classes: ClassSet) -> Scores:
    """What the matrix says. Raises ValueError when it is over other classes."""
    if confusion.n_classes != len(classes) + 1:
        raise ValueError(f"a matrix over {confusion.n_classes} classes, but there are {len(classes) + 1}")
    iou = confusion.iou()
    base, novel = iou[[BACKGROUND, *classes.base_ids]], iou[list(classes.novel_ids)]
    return Scores(
        c=confusion.miou(),
        c_base=_mean(base),
        c_novel=_mean(novel),
        n_base=_counted(base),
        n_novel=_counted(novel),
        per_class={classes.name_of(number): float(value) for number, value in enumerate(iou)},
    )


def table(reports: Mapping[str, Scores], novel: Sequence[str]) -> str:
    """The scores as lines for people: C's first, then each class, novel ones marked with a star."""
    width = max(len(name) for found in reports.values() for name in ("classes", *found.per_class)) + 2
    lines = [f"{'':<{width}}" + "".join(f"  {name:>12}" for name in reports)]
    for row in ("c", "c_base", "c_novel"):
        lines.append(f"{row:<{width}}" + "".join(_cell(getattr(found, row)) for found in reports.values()))
    names = dict.fromkeys(name for found in reports.values() for name in found.per_class)
    for name in names:
        label = f"{name} *" if name in novel else name
        cells = "".join(_cell(found.per_class.get(name, math.nan)) for found in reports.values())
        lines.append(f"{label:<{width}}{cells}")
    return "\n".join(lines)


def _cell(value: float) -> str:
    return f"  {'-':>12}" if math.isnan(value) else f"  {value:12.3f}"


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.nanmean(values)) if _counted(values) else math.nan


def _counted(values: NDArray[np.float64]) -> int:
    return int(np.isfinite(values).sum())


def _figure(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
