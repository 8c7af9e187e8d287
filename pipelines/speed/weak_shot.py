"""``maskloop bench weak_shot``: propagation beside the dense reference, its growth, a whole mask."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from backends.weak_shot.labeller import Labeller
from backends.weak_shot.propagation import Method, Walk, propagate
from backends.weak_shot.weights_file import Bundle, load
from pipelines.progress import Track, quiet
from pipelines.speed.dense_walk import Grid, dense_propagation, draw_grid
from pipelines.speed.machine import machine
from pipelines.speed.plan import Scene
from pipelines.speed.rounds import Candidate, take_turns


@dataclass(frozen=True)
class WalkPlan:
    """Sizes and repetitions."""

    reference_side: int = 64
    """Cells per side of the grid on which the dense reference runs too."""
    sides: tuple[int, ...] = (32, 64, 128, 256)
    """Cells per side of the growth table."""
    photo_hw: tuple[int, int] = (375, 500)
    """The photo, (rows, columns) in px."""
    rounds: int = 5
    """Every figure is measured once per round, all of a table in turn."""
    photo_rounds: int = 15
    warm_up: int = 1


WHOLE = WalkPlan()
QUICK = WalkPlan(sides=(32, 64, 128), reference_side=32, rounds=3, photo_rounds=5)


def bench_weak_shot(
    weights: Path | None, threads: list[int], plan: WalkPlan = WHOLE, *, progress: Track = quiet
) -> dict[str, Any]:
    """All figures of one run: medians in ms, ``p95_ms`` 95th percentiles, memory in MB (10^6 bytes).

    Memory is the peak of what NumPy and SciPy allocate during one run. The reference may use as many
    threads as the largest number in ``threads``; the sparse walk uses one.
    """
    bundle = untrained() if weights is None else load(weights)
    walk = replace(bundle.walk, steps=256, stages=2, cut=False)
    parts: tuple[Callable[[], dict[str, Any]], ...] = (
        lambda: {"reference": _beside_reference(walk, max(threads), plan)},
        lambda: _growth(walk, plan),
        lambda: {"photo": [_photo(Labeller(bundle), count, plan) for count in threads]},
    )
    report: dict[str, Any] = {"weights": weights.name if weights else "untrained", "machine": machine()}
    for part in progress(parts, total=len(parts), label="benchmark"):
        report |= part()
    return report


def untrained() -> Bundle:
    """Networks as they are before training: as slow as trained ones."""
    from backends.weak_shot.classes import ClassSet
    from backends.weak_shot.networks import AffinityNetwork, BoundaryNetwork, Classifier

    torch.manual_seed(0)
    trunk, names = "mobilenet_v2", tuple(f"class {number}" for number in range(1, 21))
    boundary = BoundaryNetwork(trunk).eval()
    if boundary.edge.bias is not None:
        torch.nn.init.constant_(boundary.edge.bias, -4.0)  # few boundaries, so that scores really walk
    return Bundle(
        trunk,
        ClassSet(names),
        classifier=Classifier(trunk, len(names)).eval(),
        boundary=boundary,
        affinity=AffinityNetwork(trunk).eval(),
    )


def _beside_reference(walk: Walk, threads: int, plan: WalkPlan) -> dict[str, Any]:
    torch.set_num_threads(threads)
    grid = draw_grid(plan.reference_side, walk.radius)
    walks = {method: replace(walk, method=method) for method in get_args(Method)}
    turns = {method: Candidate(_lap(grid, each)) for method, each in walks.items()}
    turns["dense"] = Candidate(lambda: dense_propagation(grid, walk))
    take_turns(turns, rounds=plan.rounds, laps=1, warm_up=plan.warm_up)
    wanted = dense_propagation(grid, walk)
    rows = [_method(grid, each, turns[method].median_ms, wanted) for method, each in walks.items()]
    mine = next(row for row in rows if row["method"] == walk.method)
    dense_ms = turns["dense"].median_ms
    dense_mb = peak_mb(lambda: dense_propagation(grid, walk))
    return {
        "side": plan.reference_side,
        "rows": len(grid.scores),
        "threads": threads,
        **mine,
        "dense_ms": dense_ms,
        "dense_mb": dense_mb,
        "times_faster": round(dense_ms / mine["ms"], 2),
        "times_smaller": round(dense_mb / mine["mb"], 2),
        "methods": rows,
    }


def _method(grid: Grid, walk: Walk, ms: float, wanted: np.ndarray[Any, Any]) -> dict[str, Any]:
    found = propagate(grid.scores, grid.pairs, grid.boundary, walk)
    return {
        "method": walk.method,
        "ms": ms,
        "mb": peak_mb(_lap(grid, walk)),
        "largest_difference": float(np.abs(found - wanted).max()),
        "same_labels": float((found.argmax(0) == wanted.argmax(0)).mean()),
    }


def _growth(walk: Walk, plan: WalkPlan) -> dict[str, Any]:
    """A row per size, and the exponents of time and memory in the number of cells: 1 is linear."""
    laps = {side: _lap(draw_grid(side, walk.radius), walk) for side in plan.sides}
    turns = {str(side): Candidate(lap) for side, lap in laps.items()}
    take_turns(turns, rounds=plan.rounds, laps=1, warm_up=plan.warm_up)
    rows = [
        {
            "side": side,
            "cells": side * side,
            "ms": turns[str(side)].median_ms,
            "p95_ms": turns[str(side)].p95_ms,
            "mb": peak_mb(lap),
        }
        for side, lap in laps.items()
    ]
    return {
        "growth": rows,
        "time_exponent": _exponent(rows, "ms"),
        "memory_exponent": _exponent(rows, "mb"),
    }


def _lap(grid: Grid, walk: Walk) -> Callable[[], object]:
    return lambda: propagate(grid.scores, grid.pairs, grid.boundary, walk)


def _exponent(rows: list[dict[str, Any]], key: str) -> float:
    cells, values = (np.log([row[name] for row in rows]) for name in ("cells", key))
    return round(float(np.polyfit(cells, values, 1)[0]), 3)


def peak_mb(run: Callable[[], object]) -> float:
    """What ``run`` holds at most beyond what was held before, in MB of Python's and NumPy's memory."""
    tracemalloc.start()
    try:
        run()
        return round(tracemalloc.get_traced_memory()[1] / 1e6, 3)
    finally:
        tracemalloc.stop()


def _photo(labeller: Labeller, threads: int, plan: WalkPlan) -> dict[str, Any]:
    """A drawn photo with two tags: the whole pseudo-mask, from pixels to labels and trust."""
    image = Scene(plan.photo_hw, 2).clip(1).frames[0]
    tags = labeller.classes.names[:2]
    box = (0.0, 0.0, float(plan.photo_hw[1]), float(plan.photo_hw[0]))
    asked = {} if labeller.bundle.classifier is not None else dict.fromkeys(tags, box)
    whole = Candidate(lambda: labeller.label(image, tags, asked), lambda: torch.set_num_threads(threads))
    take_turns({"whole": whole}, rounds=plan.photo_rounds, laps=1, warm_up=plan.warm_up + 1)
    return {
        "threads": threads,
        "rows_px": plan.photo_hw[0],
        "columns_px": plan.photo_hw[1],
        "classes": len(tags),
        "ms": whole.median_ms,
        "p95_ms": whole.p95_ms,
    }


def table(report: dict[str, Any]) -> str:
    """The report as lines for people."""
    beside = report["reference"]
    lines = [
        f"propagation of {beside['rows']} rows on {beside['side']}x{beside['side']} cells",
        "method           ms        MB  largest difference  same labels",
        f"{'dense':<9}  {beside['dense_ms']:>9.1f}  {beside['dense_mb']:>8.1f}",
    ]
    lines += [
        f"{row['method']:<9}  {row['ms']:>9.1f}  {row['mb']:>8.1f}  {row['largest_difference']:>18.1e}  "
        f"{100 * row['same_labels']:>9.2f} %"
        for row in beside["methods"]
    ]
    lines.append(
        f"{beside['method']} is {beside['times_faster']:.1f} times faster than the dense reference and takes "
        f"{beside['times_smaller']:.1f} times less memory"
    )
    lines.append("\n     cells         ms       p95        MB  us per cell")
    lines += [
        f"{row['cells']:>10}  {row['ms']:>9.1f}  {row['p95_ms']:>8.1f}  {row['mb']:>8.1f}  "
        f"{1000 * row['ms'] / row['cells']:>11.2f}"
        for row in report["growth"]
    ]
    lines.append(
        f"time grows with the number of cells to the power {report['time_exponent']:.2f}, "
        f"memory {report['memory_exponent']:.2f}\n"
    )
    lines += [
        f"pseudo-mask of a {row['columns_px']}x{row['rows_px']} photo, {row['classes']} tags, "
        f"{row['threads']} threads: {row['ms']:.0f} ms (p95 {row['p95_ms']:.0f})"
        for row in report["photo"]
    ]
    return "\n".join(lines)
