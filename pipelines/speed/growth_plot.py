"""The growth of propagation as a picture: time and memory over the cells, beside a straight line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.studies.plots import new_figure, save_figure


def draw_growth(report: dict[str, Any], path: Path) -> None:
    """Write a PNG of the report of ``bench_weak_shot``; both axes logarithmic, linear growth dashed."""
    figure, axes = new_figure(2)
    rows, beside = report["growth"], report["reference"]
    cells = [row["cells"] for row in rows]
    for axis, key, name in zip(axes, ("ms", "mb"), ("time (ms)", "peak memory (MB)"), strict=True):
        values = [row[key] for row in rows]
        axis.plot(cells, values, "o-", label=f"sparse, {beside['method']}")
        axis.plot(cells, [values[0] * n / cells[0] for n in cells], "--", color="grey", label="linear")
        axis.plot([beside["side"] ** 2], [beside[f"dense_{key}"]], "s", color="tab:red", label="dense")
        axis.set(xscale="log", yscale="log", xlabel="cells", ylabel=name)
        axis.legend()
    axes[0].set_title("Propagation of three score maps")
    save_figure(figure, path)
