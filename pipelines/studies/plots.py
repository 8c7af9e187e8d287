"""Figures on disk: matplotlib without display or global state, and a clear word where it is missing."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from backends.core.errors import SetupFault
from pipelines.atomic import write_bytes


def new_figure(columns: int, *, width: float = 5.4, height: float = 4.2) -> tuple[Any, list[Any]]:
    """A figure with ``columns`` axes side by side, sizes in inches each.

    Raises SetupFault when matplotlib is not installed; ask before a long run, not behind it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SetupFault(
            "plots need matplotlib: pip install 'maskloop[plots]', or leave --plot out"
        ) from error
    figure = Figure(figsize=(width * columns, height), layout="constrained")
    axes = [figure.add_subplot(1, columns, place + 1) for place in range(columns)]
    for axis in axes:
        axis.grid(alpha=0.3)
    return figure, axes


def save_figure(figure: Any, path: Path) -> None:
    """Write the figure as a PNG, atomically."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    write_bytes(path, buffer.getvalue())
