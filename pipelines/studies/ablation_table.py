"""What an ablation's runs say together: means and spread over the seeds, as a table and as bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.studies.spreads import bars, cell, spread


def summarise(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Per row: mean and spread over seeds of J, F and J&F, and the gain over ``none`` with the same seeds."""
    by_row: dict[str, dict[int, dict[str, Any]]] = {}
    for report in reports:
        by_row.setdefault(report["row"], {})[report["seed"]] = report["score"]
        if "score_at_test" in report:
            name = f"{report['row']}, {_words(report['settings']['at_test'])} at test"
            by_row.setdefault(name, {})[report["seed"]] = report["score_at_test"]
    base, trained = by_row.get("none", {}), {report["row"] for report in reports}
    summary: dict[str, Any] = {}
    for row, scores in by_row.items():
        summary[row] = {key: spread([s[key] for s in scores.values()]) for key in ("j", "f", "j_and_f")}
        gains = [s["j_and_f"] - base[seed]["j_and_f"] for seed, s in scores.items() if seed in base]
        summary[row]["gain"] = spread(gains) if gains else None
        summary[row] |= {"seeds": list(scores), "trained": row in trained}
    return summary


def table(summary: dict[str, Any]) -> str:
    """One line per row: means over the seeds, ± the standard deviation between them."""
    width = max(len(row) for row in [*summary, "row"])
    lines = [f"{'row':<{width}}  {'J':>12}  {'F':>12}  {'J&F':>12}  {'over none':>12}  seeds"]
    for row, part in summary.items():
        cells = [cell(part[key]) for key in ("j", "f", "j_and_f", "gain")]
        seeds = ",".join(map(str, part["seeds"]))
        lines.append(f"{row:<{width}}  " + "  ".join(f"{text:>12}" for text in cells) + f"  {seeds}")
    return "\n".join(lines)


def draw(summary: dict[str, Any], figure: Any, axes: Sequence[Any], path: Path) -> None:
    """Two panels of bars with a dot per seed, as PNG: J&F, and the gain of trained rows over ``none``."""
    from pipelines.studies.plots import save_figure

    scores = {row: part["j_and_f"] for row, part in summary.items()}
    gains = {row: part["gain"] for row, part in summary.items() if part["gain"] and part["trained"]}
    labels = ("J&F on the sequences held out", "gain over none with the same seed, points")
    for axis, spreads, label in zip(axes, (scores, gains), labels, strict=True):
        bars(axis, spreads, label)
    save_figure(figure, path)


def _words(switches: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in switches.items())
