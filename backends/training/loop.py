"""The loop of a run folder, resumable to the same result after a kill.

The folder holds ``config.json``, ``metrics.jsonl`` (one line per step), ``curves.png``,
``checkpoint.safetensors`` and, written by the room, ``weights.safetensors`` with its ``card.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from tqdm import tqdm

from backends.core.errors import BadInput
from backends.training import curves, distributed
from backends.training.curves import Panels

Batch = TypeVar("Batch")
BatchIn = TypeVar("BatchIn", contravariant=True)

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.jsonl"


class Learning(Protocol[BatchIn]):
    """A training at some step."""

    @property
    def step(self) -> int: ...

    def advance(self, batch: BatchIn, /) -> dict[str, float]:
        """One optimiser step; figures for the log, ``step`` and ``loss`` among them."""
        ...

    def save(self, path: Path, /) -> None: ...

    def load(self, path: Path, /) -> None: ...


def run(
    training: Learning[Batch],
    batches: Callable[[int], Iterator[Batch]],
    run_dir: Path,
    *,
    checkpoint_every: int,
    last_step: int,
    panels: Panels,
    label: str = "training",
    shown: Sequence[str] = ("loss",),
) -> None:
    """Make the steps up to ``last_step``; ``batches(start)`` gives those from step ``start`` on.

    Ctrl-C and SIGKILL lose at most ``checkpoint_every`` steps: load the checkpoint before calling again
    (:func:`resume`). Of several processes the first one alone writes. ``shown`` stand beside the bar.
    """
    start = training.step
    if not distributed.leads():
        for batch in batches(start):
            training.advance(batch)
        return
    _drop_lines_after(run_dir / METRICS, start)
    bar = tqdm(total=last_step, initial=start, desc=label, unit="step")
    try:
        with bar, (run_dir / METRICS).open("a") as log:
            lap = time.monotonic()
            for batch in batches(start):
                figures = training.advance(batch)
                figures["seconds"], lap = time.monotonic() - lap, time.monotonic()
                log.write(json.dumps({k: _short(v) for k, v in figures.items()}, allow_nan=False) + "\n")
                log.flush()
                bar.set_postfix({k: f"{figures[k]:.3f}" for k in shown if k in figures})
                bar.update()
                if training.step % checkpoint_every == 0:
                    training.save(run_dir / CHECKPOINT)
                    curves.draw(run_dir, panels)
    finally:
        if training.step:
            training.save(run_dir / CHECKPOINT)
    if hindrance := curves.draw(run_dir, panels):
        print(f"note: {hindrance}", file=sys.stderr)


def resume(training: Learning[Any], run_dir: Path) -> bool:
    """Go on from the folder's checkpoint, if it has one; whether it has."""
    checkpoint = run_dir / CHECKPOINT
    if not checkpoint.is_file():
        return False
    training.load(checkpoint)
    return True


def ahead(make: Callable[[int], Batch], start: int, stop: int) -> Iterator[Batch]:
    """``make(start)``, … ``make(stop - 1)``; the next one is made in a thread while the last is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make, start)
        for step in range(start, stop):
            batch = coming.result()
            if step + 1 < stop:
                coming = pool.submit(make, step + 1)
            yield batch


def claim(config: Any, run_dir: Path) -> None:
    """Make ``run_dir`` this config's (a dataclass). Raises BadInput when it holds a run with another one."""
    run_dir.mkdir(parents=True, exist_ok=True)
    path, text = run_dir / "config.json", json.dumps(asdict(config), indent=1)
    if path.is_file() and path.read_text() != text:
        raise BadInput(f"{run_dir} holds a run with other settings; choose another --out or those settings")
    path.write_text(text)


def write_card(run_dir: Path, about: Mapping[str, Any], weights: str = "weights.safetensors") -> None:
    """``card.json``: ``about`` and what a reader needs besides to judge the weights or to make them again."""
    lines = (run_dir / METRICS).read_text().splitlines()
    card = {
        **about,
        "torch": torch.__version__,
        "processes": distributed.size(),
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {platform.system()}",
        "seconds": round(sum(json.loads(line).get("seconds", 0.0) for line in lines)),
        "weights_sha256": hashlib.sha256((run_dir / weights).read_bytes()).hexdigest(),
    }
    (run_dir / "card.json").write_text(json.dumps(card, indent=1, allow_nan=False))


def _short(figure: float) -> float:
    """Six digits are enough; a learning rate near 0 must not be rounded to it."""
    return figure if isinstance(figure, int) else float(f"{figure:.6g}")


def _drop_lines_after(log: Path, step: int) -> None:
    """Steps after the checkpoint run again; their old lines, and a torn last one, must not count twice."""
    lines = log.read_text().splitlines()[:step] if log.is_file() else []
    log.write_text("".join(f"{line}\n" for line in lines))
