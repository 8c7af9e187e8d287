"""What the rows of ``study looking-back`` say together: means and spread over seeds, a table and bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.studies.spreads import bars, cell, spread

FIGURES = {
    "miou": "mIoU",
    "temporal_consistency": "TC",
    "temporal_consistency_occ": "TC occ",
    "ms_per_frame": "ms",
}
GAINS = ("miou", "temporal_consistency")


def summarise(reports: Sequence[Mapping[str, Any]], base: str) -> dict[str, Any]:
    """Per row: spread over seeds of the figures, and of ``gain``, what it has more than row ``base``.

    Rows with the same seed (of the same weights, at test) are compared. Null where nothing was counted.
    """
    by_row: dict[str, list[Mapping[str, Any]]] = {}
    for report in reports:
        by_row.setdefault(_name(report), []).append(report)
    bases = {(r["at_test"], r["seed"]): r["score"] for r in reports if r["row"] == base}
    return {
        name: {
            **{key: _spread([report["score"][key] for report in found]) for key in FIGURES},
            "gain": {key: _spread([_gain(report, bases, key) for report in found]) for key in GAINS},
            "seeds": [report["seed"] for report in found],
            "at_test": found[0]["at_test"],
        }
        for name, found in by_row.items()
    }


def table(summary: Mapping[str, Any]) -> str:
    """One line per row: means over the seeds, ± the standard deviation between them."""
    width = max(len(row) for row in [*summary, "row"])
    heads = [*FIGURES.values(), *(f"{FIGURES[key]} gain" for key in GAINS)]
    lines = [f"{'row':<{width}}" + "".join(f"  {head:>12}" for head in heads) + "  seeds"]
    for row, part in summary.items():
        texts = [cell(part[key]) for key in FIGURES]
        texts += [cell(part["gain"][key], signed=True) for key in GAINS]
        seeds = ",".join(map(str, part["seeds"]))
        lines.append(f"{row:<{width}}" + "".join(f"  {text:>12}" for text in texts) + f"  {seeds}")
    return "\n".join(lines)


def draw(summary: Mapping[str, Any], figure: Any, axes: Sequence[Any], path: Path) -> None:
    """Two panels of bars with a dot per seed, as PNG: mIoU and TC over the row that does not look back.

    Where that row is missing, the figures themselves.
    """
    from pipelines.studies.plots import save_figure

    for axis, key in zip(axes, GAINS, strict=True):
        gains = {row: part["gain"][key] for row, part in summary.items() if part["gain"][key]}
        plain = {row: part[key] for row, part in summary.items() if part[key]}
        label = f"{FIGURES[key]}, points more than without looking back" if gains else FIGURES[key]
        bars(axis, gains or plain, label)
    save_figure(figure, path)


def _name(report: Mapping[str, Any]) -> str:
    return f"{report['row']} at test" if report["at_test"] else str(report["row"])


def _gain(report: Mapping[str, Any], bases: Mapping[Any, Mapping[str, Any]], key: str) -> float | None:
    base = bases.get((report["at_test"], report["seed"]), {}).get(key)
    value: float | None = report["score"][key]
    return None if base is None or value is None else value - base


def _spread(values: Sequence[float | None]) -> dict[str, Any] | None:
    known = [value for value in values if value is not None]
    return spread(known) if known else None
