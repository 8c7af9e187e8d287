"""The curves of a run as a picture: ``curves.png`` beside the ``metrics.jsonl`` it is drawn from.

The picture is for people and decides nothing: whatever goes wrong while it is drawn is said once per call and
never stops a training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAME = "curves.png"
Panels = Sequence[tuple[str, Mapping[str, str]]]
"""Title -> keys of ``metrics.jsonl`` and what they are called; keys that no step has are left out."""
_STEADY = {"rate", "trunk_rate"}
"""Keys drawn as they are; all others are noisy from step to step."""
_SHARE = 0.02
"""Part of the run that the moving mean spans."""


def draw(run_dir: Path, panels: Panels) -> str | None:
    """Draw ``run_dir/curves.png`` from ``run_dir/metrics.jsonl``; returns why it could not be, if so.

    It never raises: no matplotlib, no steps yet and a full disk all come back as one sentence.
    """
    try:
        steps = read(run_dir / "metrics.jsonl")
        if not steps:
            return "no curves yet: no step is finished"
        _paint(steps, panels, run_dir / NAME)
    except ImportError:
        return "no curves.png: matplotlib is not installed (pip install 'maskloop[plots]')"
    except Exception as error:  # a picture is never worth a training
        return f"no {NAME}: {type(error).__name__}: {error}"
    return None


def read(metrics: Path) -> list[dict[str, float]]:
    """The steps of a ``metrics.jsonl``; a torn last line, as a killed run leaves it, is passed over."""
    steps = []
    for line in metrics.read_text().splitlines() if metrics.is_file() else []:
        try:
            steps.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return steps


def smooth(values: NDArray[np.float64], span: int) -> NDArray[np.float64]:
    """Centred moving mean over at most ``span`` values (fewer at both ends); NaN are left out of it."""
    known = np.isfinite(values)
    window = np.ones(max(1, min(span, len(values))))
    total = np.convolve(np.where(known, values, 0.0), window, mode="same")
    count = np.convolve(known.astype(float), window, mode="same")
    mean = np.full(len(values), np.nan)
    np.divide(total, count, out=mean, where=count > 0.5)
    return mean


def _paint(steps: list[dict[str, float]], wanted: Panels, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure  # not pyplot: no global state, no screen wanted

    panels = [(t, {k: v for k, v in keys.items() if any(k in s for s in steps)}) for t, keys in wanted]
    panels = [(title, keys) for title, keys in panels if keys]
    figure = Figure(figsize=(9, 2.6 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(len(panels), 1, sharex=True))
    numbers = np.array([s["step"] for s in steps])
    for axis, (title, keys) in zip(axes, panels, strict=True):
        for colour, (key, label) in enumerate(keys.items()):
            values = np.array([s.get(key, np.nan) for s in steps], float)
            _line(axis, numbers, values, label, f"C{colour}", smoothed=key not in _STEADY)
        axis.set_ylabel(title)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.legend(loc="upper right", fontsize="small")
    axes[-1].set_xlabel("step")
    part = path.with_name(f".{path.name}.part")
    figure.savefig(part, format="png", dpi=100)
    part.replace(path)


def _line(
    axis: Any, steps: NDArray[Any], values: NDArray[np.float64], label: str, colour: str, *, smoothed: bool
) -> None:
    """One curve; where single steps are noisy they stay as a shadow behind their moving mean."""
    if smoothed:
        axis.plot(steps, values, color=colour, alpha=0.2, linewidth=0.6)
        values = smooth(values, max(5, round(_SHARE * len(values))))
    axis.plot(steps, values, color=colour, label=label)
