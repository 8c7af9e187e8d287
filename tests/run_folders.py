"""Builders of run folders as a cycle leaves them: decision, scores, curves, examples."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.loop.folder import ProjectFolder
from pipelines.loop.examples import Examples, write_index
from pipelines.loop.plan import Plan
from pipelines.loop.record import Record, write_scores
from pipelines.loop.scores import Benchmark, Data, Figure, Scores
from tests.saved_clips import V1, V2

SIZE_HW = (48, 64)


def labels(x: int, number: int = 1) -> NDArray[np.uint8]:
    """(48, 64) uint8: a box of 20 x 20 whose left edge is at ``x``."""
    drawn = np.zeros(SIZE_HW, np.uint8)
    drawn[10:30, x : x + 20] = number
    return drawn


def scores(version: str, value: float, **classes: float) -> Scores:
    """J&F over two clips of two videos."""
    data = Data(9, 2, 6, 2, 90, 12)
    per_class = {name: Figure(figure, 12) for name, figure in (classes or {"bus": value}).items()}
    videos = {"market": Figure(value - 1, 6), "station": Figure(value + 1, 6)}
    return Scores(
        version,
        "j_and_f",
        value,
        per_class,
        data,
        videos,
        benchmark=Benchmark("drawn clips", value / 2),
    )


def write_run(
    folder: ProjectFolder,
    name: str = "0001-1a2b3c4d",
    *,
    outcome: str = "waiting",
    clips: int = 2,
    algorithm: str = "video_object",
    **changes: Any,
) -> Path:
    """A run that made V2 beside V1, with ``clips`` examples, each a little better than before."""
    run = folder.runs / name
    run.mkdir(parents=True)
    snapshot = folder.path / "snapshot"
    Plan(run, folder.project_id, algorithm, snapshot).write()
    Record(run).note(
        **{
            "algorithm": algorithm,
            "snapshot": "ab" * 16,
            "begun_at": time.time() - 600,
            "ended_at": time.time() - 60,
            "why": "5 tasks were submitted since the last run",
            "stage": "promote",
            "outcome": outcome,
            "served": V1,
            "candidate": V2,
            "accepted": outcome != "refused",
            "reasons": ["J&F over all held-out clips goes from 60.00 to 70.00, a gain of 10.00 points"],
            "against": [],
            **changes,
        }
    )
    write_scores(run, scores(V2, 70.0, bus=72.0, bike=58.0), scores(V1, 60.0, bus=62.0, bike=59.5))
    steps = [{"step": n, "loss": 2 / n, "gradient": 1.0, "rate": 0.01, "seconds": 1.0} for n in range(1, 401)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps) + '{"step": 401')
    _write_examples(run, snapshot, clips)
    return run


def _write_examples(run: Path, snapshot: Path, clips: int) -> None:
    parts = [Examples(run / "examples", who) for who in ("candidate", "served")]
    for number in range(clips):
        clip, image = f"market-{number:03d}", f"JPEGImages/market-{number:03d}/00005.jpg"
        (snapshot / image).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(snapshot / image), np.full((*SIZE_HW, 3), 90, np.uint8))
        parts[0].put(clip, 5, image, labels(20), labels(20 + number))
        parts[1].put(clip, 5, image, labels(20), labels(30))
    write_index(run / "examples", *parts)
