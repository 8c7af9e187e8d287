"""The training runs of a project as its console page shows them: decisions, scores, curves, examples.

Everything is read from the runs' folders and nothing is computed with a network. A file that is missing or
spoilt costs its part of the page, never the report.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from backends.loop.files import read_json
from backends.loop.folder import Cycle, ProjectFolder
from backends.training.curves import read as read_metrics
from pipelines.loop.scores import METRICS, Figure, Scores
from pipelines.loop.side_by_side import examples_told

RUNS_SHOWN = 12
CURVE_POINTS = 80
"""Longer curves are averaged down to so many points."""
WITH_EXAMPLES = 3
"""Runs whose examples are drawn, the newest."""
_MOST_METRICS = 64 * 2**20  # bytes of one metrics.jsonl: about 300,000 steps
_DEEPEST = 3  # folders between a run and the metrics of one of its stages

_LOSS, _GRADIENT = "loss", "gradient"
_NO_LOSS = frozenset({"step", "seconds", "rate", "trunk_rate", _GRADIENT})
_NAMES = {
    "loss": "whole loss",
    "first": "first frame",
    "last": "last frame",
    "er": "two sizes agree",
    "ecr": "refined agree",
    "hard": "hard pixels",
    "jaccard": "soft Jaccard",
    "single": "single frame",
    "steady": "over time",
    "gradient": "before clipping",
}


_NOT_COMPARED: dict[str, Any] = {
    "metric": "",
    "unit": "clip",
    "overall": {"served": None, "candidate": None, "count": None},
    "classes": [],
    "videos": [],
    "benchmark": None,
}


def runs_told(folder: ProjectFolder) -> list[dict[str, Any]]:
    """The last runs as JSON values, the newest first."""
    return [_run(cycle, place) for place, cycle in enumerate(folder.cycles()[:RUNS_SHOWN])]


def _run(cycle: Cycle, place: int) -> dict[str, Any]:
    candidate, served = _scores(cycle.run)
    return {
        "run": cycle.name,
        "algorithm": cycle.algorithm,
        "begun_at": cycle.begun_at,
        "ended_at": cycle.ended_at,
        "why": cycle.why,
        "stage": cycle.stage,
        "outcome": cycle.outcome,
        "served": cycle.served,
        "candidate": cycle.candidate,
        "accepted": cycle.accepted,
        "reasons": list(cycle.reasons),
        "against": list(cycle.against),
        "error": cycle.error,
        **_comparison(candidate, served),
        "curves": [panel for file in _metrics_files(cycle.run) for panel in _panels(cycle.run, file)],
        "examples": examples_told(cycle.run) if place < WITH_EXAMPLES else [],
    }


def _scores(run: Path) -> tuple[Scores | None, Scores | None]:
    """What candidate and served version scored; None where that is not known, or not any more."""
    told = read_json(run / "scores.json")
    return _one_score(told.get("candidate")), _one_score(told.get("served"))


def _one_score(told: object) -> Scores | None:
    try:
        return Scores.from_json(told) if isinstance(told, dict) else None
    except (KeyError, TypeError, ValueError):
        return None


def _comparison(candidate: Scores | None, served: Scores | None) -> dict[str, Any]:
    if candidate is None or served is None:
        return dict(_NOT_COMPARED)
    ours, theirs = candidate.benchmark, served.benchmark
    return {
        "metric": METRICS.get(candidate.metric, candidate.metric),
        "unit": candidate.data.unit,
        "overall": {
            "served": _plain(served.overall),
            "candidate": _plain(candidate.overall),
            "count": candidate.data.held_out_frames,
        },
        "classes": _pairs(candidate.per_class, served.per_class),
        "videos": _pairs(candidate.per_video, served.per_video),
        "benchmark": ours
        and {
            "name": ours.name,
            "note": ours.note,
            "served": _plain(theirs.overall) if theirs else None,
            "candidate": _plain(ours.overall),
        },
    }


def _pairs(ours: Mapping[str, Figure], theirs: Mapping[str, Figure]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "served": _plain(theirs[name].value) if name in theirs else None,
            "candidate": _plain(figure.value),
            "count": figure.count,
        }
        for name, figure in ours.items()
    ]


def _metrics_files(run: Path) -> list[Path]:
    """Of the run and of its stages, in the order in which they were written."""
    patterns = ["/".join(["*"] * depth + ["metrics.jsonl"]) for depth in range(_DEEPEST + 1)]
    found = [path for pattern in patterns for path in run.glob(pattern)]
    small = [path for path in found if path.stat().st_size < _MOST_METRICS]
    return sorted(small, key=lambda path: (path.stat().st_mtime, str(path)))


def _panels(run: Path, metrics: Path) -> Iterator[dict[str, Any]]:
    """The losses of one file, and the length of its gradient."""
    steps = [step for step in read_metrics(metrics) if isinstance(step, dict) and "step" in step]
    stage = metrics.parent.relative_to(run).as_posix()
    head = "" if stage == "." else f"{stage}: "
    losses = sorted({key for step in steps for key in step} - _NO_LOSS, key=lambda key: (key != _LOSS, key))
    for title, keys in (("loss", losses), ("length of the gradient", [_GRADIENT])):
        lines = [line for key in keys if (line := _line(steps, key)) is not None]
        if lines:
            yield {"title": f"{head}{title}", "lines": lines}


def _line(steps: Sequence[Mapping[str, Any]], key: str) -> dict[str, Any] | None:
    points = [(step["step"], step[key]) for step in steps if _is_number(step.get(key))]
    if not points:
        return None
    return {"name": _NAMES.get(key, key), "points": thinned(points)}


def thinned(points: Sequence[tuple[float, float]], most: int = CURVE_POINTS) -> list[list[float]]:
    """At most ``most`` points: [step, value], means over equal stretches of the run."""
    size = math.ceil(len(points) / most)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [[group[-1][0], _short(sum(value for _, value in group) / len(group))] for group in groups]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _plain(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None


def _short(value: float) -> float:
    return float(f"{value:.5g}")
