"""The growth of attention over time as a picture: measured time beside what the formulas say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.studies.plots import new_figure, save_figure

_AXES = {"frames": "past frames T", "cells": "cells h w", "rho": "share of queries rho"}


def draw_growth(report: dict[str, Any], path: Path) -> None:
    """Write a PNG of the report of ``bench_video_semantic``; dashed: in proportion to the MACs."""
    figure, axes = new_figure(len(_AXES), width=4.6)
    for axis, (key, name) in zip(axes, _AXES.items(), strict=True):
        rows = report["growth"][key]
        at = [row[key] for row in rows]
        last = rows[-1]
        by_formula = [last["ms"] * row["macs"] / last["macs"] for row in rows]
        axis.plot(at, [row["ms"] for row in rows], "o-", label="the whole module")
        axis.plot(at, [row["attention_ms"] for row in rows], "o-", label="its attention")
        axis.plot(at, by_formula, "--", color="grey", label="module, as its MACs grow")
        axis.set(xlabel=name, ylabel="ms")
        axis.set_ylim(bottom=0)
        axis.legend()
    axes[1].set_title("Attention over time")
    save_figure(figure, path)
