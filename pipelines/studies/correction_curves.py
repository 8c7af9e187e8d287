"""From passes to curves: J&F by number of corrections, over all scored frames and over untouched ones.

*All* frames is what a person hands in: corrected frames score as corrected. *Untouched* frames are those that
no strategy, seed or number of corrections ever corrected; they are the same for all curves, so a strategy
cannot gain there by taking bad frames out of the count. The worst frames are never among them, so this curve
begins higher; only its rise counts. Every object weighs the same, as in DAVIS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.studies.correction_passes import Pass

LABELS = {
    "confidence": "lowest confidence",
    "true_j": "lowest true J",
    "random": "at random",
    "even": "evenly spaced",
}
_STYLES = {"confidence": "o-", "true_j": "s--", "random": "x:", "even": "^-."}

Lines = Mapping[
    str, Sequence[Sequence[Pass]]
]  # strategy -> its runs (random: one per seed), 0 .. n corrections


@dataclass(frozen=True)
class Corrected:
    """All passes of one sequence."""

    name: str
    n_frames: int
    lines: Lines

    def untouched(self) -> list[int]:
        """Scored frames that nobody ever corrected."""
        touched = {
            frame for runs in self.lines.values() for run in runs for one in run for frame in one.corrected
        }
        return [frame for frame in range(1, self.n_frames - 1) if frame not in touched]

    def seconds(self) -> float:
        """Time of all passes; the one without corrections is shared and counts once."""
        runs = [run for runs in self.lines.values() for run in runs]
        return runs[0][0].seconds + sum(one.seconds for run in runs for one in run[1:])


def report(sequences: Sequence[Corrected]) -> dict[str, Any]:
    """Curves (0..100, from no correction on) over all objects of all sequences, and for each sequence."""
    return {
        "curves": _curves(sequences),
        "untouched_frames": {s.name: len(s.untouched()) for s in sequences},
        "scored_frames": {s.name: s.n_frames - 2 for s in sequences},
        "seconds": {s.name: round(s.seconds(), 1) for s in sequences},
        "per_sequence": {
            s.name: {
                "curves": _curves([s]),
                "corrected": {
                    strategy: [[list(one.corrected) for one in run] for run in runs]
                    for strategy, runs in s.lines.items()
                },
            }
            for s in sequences
        },
    }


def _curves(sequences: Sequence[Corrected]) -> dict[str, Any]:
    everywhere = {s.name: list(range(1, s.n_frames - 1)) for s in sequences}
    untouched = {s.name: s.untouched() for s in sequences}
    return {
        strategy: {
            "all": _curve(sequences, strategy, everywhere),
            "untouched": _curve(sequences, strategy, untouched),
        }
        for strategy in sequences[0].lines
    }


def _curve(
    sequences: Sequence[Corrected], strategy: str, frames: Mapping[str, list[int]]
) -> dict[str, list[float]] | None:
    """J, F and J&F; a sequence without frames is left out, None when that leaves nothing."""
    # one (corrections, 2) array per object of each sequence, J and F, seeds averaged
    objects = [
        np.mean([_means(run, name, frames[s.name]) for run in s.lines[strategy]], axis=0)
        for s in sequences
        if frames[s.name]
        for name in s.lines[strategy][0][0].j
    ]
    if not objects:
        return None
    j, f = 100 * np.mean(objects, axis=0).T
    return {
        key: np.round(values, 3).tolist() for key, values in (("j", j), ("f", f), ("j_and_f", (j + f) / 2))
    }


def _means(run: Sequence[Pass], name: str, frames: list[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    at = np.array(frames) - 1
    return np.array([[np.mean(np.array(figures[name])[at]) for figures in (one.j, one.f)] for one in run])


def table(found: Mapping[str, Any]) -> str:
    """J&F by strategy and number of corrections, over all frames and over untouched ones."""
    lines = []
    for which, title in (
        ("all", "all scored frames"),
        ("untouched", "frames never corrected by any strategy"),
    ):
        curves = {strategy: curve[which] for strategy, curve in found["curves"].items()}
        if any(curve is None for curve in curves.values()):
            lines.append(f"J&F, {title}: none is left")
            continue
        count = len(next(iter(curves.values()))["j_and_f"])
        head = "".join(f"{k:>7}" for k in range(count))
        lines.append(f"J&F, {title}; corrections:\n{'':<18}{head}")
        for strategy, curve in curves.items():
            cells = "".join(f"{value:7.1f}" for value in curve["j_and_f"])
            lines.append(f"{LABELS[strategy]:<18}{cells}")
    left, scored = sum(found["untouched_frames"].values()), sum(found["scored_frames"].values())
    seconds = sum(found["seconds"].values())
    lines.append(f"{left} of {scored} scored frames were never corrected; all passes took {seconds:.0f} s")
    return "\n".join(lines)


def draw(found: Mapping[str, Any], figure: Any, path: Path) -> None:
    """Two panels of curves, all frames and untouched ones, into the figure with two axes."""
    from pipelines.studies.plots import save_figure

    canvas, axes = figure
    for axis, (which, title) in zip(
        axes, {"all": "all scored frames", "untouched": "frames never corrected"}.items(), strict=True
    ):
        for strategy, curve in found["curves"].items():
            if curve[which] is not None:
                axis.plot(curve[which]["j_and_f"], _STYLES[strategy], label=LABELS[strategy])
        axis.set_title(title)
        axis.set_xlabel("corrected frames per clip")
        axis.set_ylabel("J&F")
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0].legend()
    save_figure(canvas, path)
