"""Several seeds in one figure: their mean and deviation, as a cell of a table and as a bar."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any


def spread(values: Sequence[float]) -> dict[str, Any]:
    """``mean``, ``sd`` (None of one value) and ``each`` of at least one value."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    rounded = None if deviation is None else round(deviation, 3)
    return {"mean": round(statistics.mean(values), 3), "sd": rounded, "each": [round(v, 3) for v in values]}


def cell(found: Mapping[str, Any] | None, *, signed: bool = False) -> str:
    """``58.5 ± 0.7``; a dash for None."""
    if found is None:
        return "-"
    mean = f"{found['mean']:+.1f}" if signed else f"{found['mean']:.1f}"
    return mean + ("" if found["sd"] is None else f" ± {found['sd']:.1f}")


def bars(axis: Any, spreads: Mapping[str, Mapping[str, Any]], label: str) -> None:
    """A bar for the mean of each row, the first one on top, and a dot per seed."""
    axis.barh(list(spreads), [found["mean"] for found in spreads.values()], color="#9db8d2")
    for place, found in enumerate(spreads.values()):
        axis.plot(found["each"], [place] * len(found["each"]), "o", color="#1f3a5f", markersize=4)
    axis.invert_yaxis()
    axis.set_xlabel(f"{label} (bars: mean, dots: seeds)")
