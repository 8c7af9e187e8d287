"""What a version scored on a snapshot's held-out clips: figures by class and by video, with their counts.

Figures are points of the algorithm's metric, 0 to 100; NaN where nothing could be scored. Two versions are
compared over the same clips, classes and frames, so a class that the held-out clips never show has no figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

METRICS = {"j_and_f": "J&F", "miou": "mean IoU", "c": "C"}
"""Name of a metric -> as people read it."""


@dataclass(frozen=True)
class Figure:
    """One figure and on how many labelled frames it stands; ``more`` holds others shown beside it."""

    value: float
    count: int
    more: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Data:
    """How much was trained and judged on; of weak_shot a photo counts as a clip and as a frame."""

    train_clips: int
    held_out_clips: int
    train_videos: int = 0
    held_out_videos: int = 0
    train_frames: int = 0
    held_out_frames: int = 0
    unit: Literal["clip", "photo"] = "clip"


@dataclass(frozen=True)
class Benchmark:
    """Figures on data that has nothing to do with the project; ``note`` says why there are none."""

    name: str = ""
    overall: float = math.nan
    per_class: Mapping[str, Figure] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Scores:
    """One version's. ``version`` empty: none is served, everything scores 0."""

    version: str
    metric: str
    overall: float
    per_class: Mapping[str, Figure]
    data: Data
    per_video: Mapping[str, Figure] = field(default_factory=dict)
    more: Mapping[str, float] = field(default_factory=dict)
    """Other figures over all held-out clips, in points, shown beside."""
    unknown: tuple[str, ...] = ()
    """Classes that the version does not know; they score 0."""
    notes: tuple[str, ...] = ()
    benchmark: Benchmark | None = None

    def to_json(self) -> dict[str, Any]:
        """The same for JSON; what is not a number becomes None."""
        told: dict[str, Any] = _plain(asdict(self))
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Scores:
        """Inverse of :meth:`to_json`."""
        bench = told.get("benchmark")
        return cls(
            **{
                **told,
                "overall": _number(told["overall"]),
                "per_class": _figures(told["per_class"]),
                "per_video": _figures(told["per_video"]),
                "more": {name: _number(value) for name, value in told["more"].items()},
                "data": Data(**told["data"]),
                "unknown": tuple(told["unknown"]),
                "notes": tuple(told["notes"]),
                "benchmark": bench and _benchmark(bench),
            }
        )


def nothing_served(candidate: Scores) -> Scores:
    """What stands beside a candidate where no version is served: 0 wherever the candidate has a figure."""
    return Scores(
        "",
        candidate.metric,
        0.0,
        {name: Figure(0.0, figure.count) for name, figure in candidate.per_class.items()},
        candidate.data,
        {name: Figure(0.0, figure.count) for name, figure in candidate.per_video.items()},
        unknown=tuple(candidate.per_class),
        benchmark=candidate.benchmark and Benchmark(candidate.benchmark.name, note="no version is served"),
    )


def table(candidate: Scores, served: Scores) -> str:
    """Both versions side by side as lines for people: classes, videos, all of it, the benchmark."""
    names = (*candidate.per_class, *candidate.per_video, "all held-out", "benchmark")
    width = max(len(name) for name in names)
    lines = [f"{METRICS[candidate.metric]:<{width}}  {'served':>7}  {'candidate':>9}  {'change':>7}  frames"]
    for one, other in ((candidate.per_class, served.per_class), (candidate.per_video, served.per_video)):
        for name, figure in one.items():
            before = other[name].value if name in other else math.nan
            lines.append(f"{name:<{width}}  {_cells(before, figure.value)}  {figure.count:6d}")
        lines.append("")
    frames = candidate.data.held_out_frames
    lines.append(f"{'all held-out':<{width}}  {_cells(served.overall, candidate.overall)}  {frames:6d}")
    if candidate.benchmark is not None and candidate.benchmark.name:
        before = served.benchmark.overall if served.benchmark else math.nan
        lines.append(f"{'benchmark':<{width}}  {_cells(before, candidate.benchmark.overall)}")
    return "\n".join(lines)


def _cells(before: float, after: float) -> str:
    return f"{_text(before, 7)}  {_text(after, 9)}  {_text(after - before, 7, '+')}"


def _text(value: float, width: int, sign: str = "") -> str:
    return f"{'-':>{width}}" if math.isnan(value) else f"{value:{sign}{width}.1f}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    return value


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _figures(told: Mapping[str, Mapping[str, Any]]) -> dict[str, Figure]:
    return {name: _figure(figure) for name, figure in told.items()}


def _figure(told: Mapping[str, Any]) -> Figure:
    more = {name: _number(value) for name, value in told["more"].items()}
    return Figure(_number(told["value"]), int(told["count"]), more)


def _benchmark(told: Mapping[str, Any]) -> Benchmark:
    return Benchmark(told["name"], _number(told["overall"]), _figures(told["per_class"]), told["note"])
