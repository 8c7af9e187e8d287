"""What a ladder's rows say together: means over folds and seeds, gains, a table and bars."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PARTS = ("pseudo_masks", "network")
FIGURES = ("c", "c_base", "c_novel")
_STEPS = (("walk", "retab"), ("aff_gt", "retab"), ("cam", "retab"), ("retab", "seam_retab"))
"""Pairs of rows whose difference is reported."""


def summarise(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Row -> part -> figure -> mean over folds of the means over seeds, with what it is made of.

    ``sd`` is the mean over folds of the deviation between seeds: folds differ in their classes, which is no
    noise.
    """
    summary: dict[str, Any] = {}
    for row in dict.fromkeys(report["row"] for report in reports):
        mine = [report for report in reports if report["row"] == row]
        summary[row] = {
            part: {name: _spread(mine, part, name) for name in FIGURES}
            if any(r.get(part) for r in mine)
            else None
            for part in PARTS
        }
    return summary


def table(summary: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """One line per row: C, C_base and C_novel of pseudo-masks and of the final network, in points."""
    width = max(len(names[row]) for row in summary)
    head = "".join(f"{f'{part} {name}':>22}" for part in ("masks", "network") for name in FIGURES)
    lines = [f"{'':<{width}}{head}"]
    for row, parts in summary.items():
        cells = [_cell(parts[part][name] if parts[part] else None) for part in PARTS for name in FIGURES]
        lines.append(f"{names[row]:<{width}}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


def findings(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sentences on C_novel: each gain by fold and on average, and RETAB against raw CAM as a ratio."""
    found = []
    for part in PARTS:
        for low, high in _STEPS:
            gains = _gains(reports, part, low, high)
            if gains:
                each = ", ".join(f"fold {fold} {100 * gain:+.1f}" for fold, gain in gains.items())
                mean = 100 * statistics.fmean(gains.values())
                found.append(f"{part}: C_novel of {high} over {low}: {mean:+.1f} points ({each})")
        ratio = _ratio(reports, part)
        if ratio is not None:
            found.append(f"{part}: C_novel of retab is {ratio:.2f} times that of cam")
    return found


def draw(
    summary: Mapping[str, Any], names: Mapping[str, str], figure: Any, axes: Sequence[Any], path: Path
) -> None:
    """Two panels of bars with a dot per fold and seed: C_novel of pseudo-masks and of the final network."""
    from pipelines.studies.plots import save_figure

    for axis, part in zip(axes, PARTS, strict=True):
        rows = {names[row]: parts[part]["c_novel"] for row, parts in summary.items() if parts[part]}
        axis.barh(list(rows), [100 * (spread["mean"] or 0) for spread in rows.values()], color="#9db8d2")
        for place, spread in enumerate(rows.values()):
            values = [100 * value for value in spread["each"]]
            axis.plot(values, [place] * len(values), "o", color="#1f3a5f", markersize=4)
        axis.invert_yaxis()
        label = "pseudo-masks from tags" if part == "pseudo_masks" else "final network, no tags"
        axis.set_title(label)
        axis.set_xlabel("C_novel, points (dots: folds and seeds)")
    save_figure(figure, path)


def _spread(reports: Sequence[Mapping[str, Any]], part: str, name: str) -> dict[str, Any]:
    known = [r for r in reports if r.get(part) and r[part][name] is not None]
    by_fold = _by_fold(known, part, name)
    deviations = [statistics.stdev(values) for values in by_fold.values() if len(values) > 1]
    means = {str(fold): statistics.fmean(values) for fold, values in by_fold.items()}
    return {
        "mean": round(statistics.fmean(means.values()), 6) if means else None,
        "sd": round(statistics.fmean(deviations), 6) if deviations else None,
        "folds": {fold: round(value, 6) for fold, value in means.items()},
        "each": [report[part][name] for report in known],
    }


def _by_fold(reports: Sequence[Mapping[str, Any]], part: str, name: str) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for report in reports:
        found.setdefault(report["fold"], []).append(report[part][name])
    return found


def _gains(reports: Sequence[Mapping[str, Any]], part: str, low: str, high: str) -> dict[int, float]:
    """Fold -> mean over the seeds that both rows have of the gain in C_novel."""
    values = {
        (r["row"], r["fold"], r["seed"]): r[part]["c_novel"]
        for r in reports
        if r.get(part) and r[part]["c_novel"] is not None
    }
    gains: dict[int, list[float]] = {}
    for (row, fold, seed), value in values.items():
        if row == high and (low, fold, seed) in values:
            gains.setdefault(fold, []).append(value - values[low, fold, seed])
    return {fold: statistics.fmean(found) for fold, found in gains.items()}


def _ratio(reports: Sequence[Mapping[str, Any]], part: str) -> float | None:
    summary = summarise([r for r in reports if r["row"] in ("cam", "retab")])
    if set(summary) != {"cam", "retab"} or not all(summary[row][part] for row in summary):
        return None
    cam, retab = (summary[row][part]["c_novel"]["mean"] for row in ("cam", "retab"))
    return None if not cam or retab is None else retab / cam


def _cell(spread: Mapping[str, Any] | None) -> str:
    if spread is None or spread["mean"] is None:
        return "-"
    noise = "" if spread["sd"] is None else f" ± {100 * spread['sd']:.1f}"
    return f"{100 * spread['mean']:.1f}{noise}"
