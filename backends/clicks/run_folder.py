"""A run folder, resumable to the same result after a kill.

It holds ``config.json``, ``metrics.jsonl`` (one line per step), ``checkpoint.safetensors`` (weights,
optimiser, average) and at the end ``weights.safetensors`` with its ``card.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from backends.clicks import sampling, stills
from backends.clicks.recipe import TrainingConfig
from backends.clicks.training import Training
from backends.clicks.weights_file import ALGORITHM, save_weights
from backends.core.errors import BadInput

Draw = Callable[[int], sampling.Sample]


def train(
    config: TrainingConfig,
    data: Path,
    run_dir: Path,
    *,
    photos: Path | None = None,
    trunk: Path | None = None,
    start_from: Path | None = None,
    device: str = "cpu",
) -> Path:
    """Run (or go on with) the training in ``run_dir``; returns ``weights.safetensors``.

    ``data`` holds videos in the DAVIS layout, ``photos`` images/ and masks/. Ctrl-C and SIGKILL lose at most
    ``checkpoint_every`` steps. Raises BadInput when the folder holds a run with another config.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    _claim(config, run_dir)
    names = stills.sequence_names(data, config.held_out)
    frames = stills.from_videos(data, names, config.every)
    more = [] if photos is None else stills.from_photos(photos, config.photos_until)
    training = Training(config, device)
    checkpoint = run_dir / "checkpoint.safetensors"
    if checkpoint.is_file():
        training.load(checkpoint)
        _drop_lines_after(run_dir / "metrics.jsonl", training.step)
    elif start_from is not None:
        training.start_from(start_from)
    elif trunk is not None:
        training.start_from_imagenet(trunk)
    try:
        _loop(training, partial(sampling.draw, frames, more, config.sample, config.seed), run_dir)
    finally:
        if training.step:
            training.save(checkpoint)
    weights = run_dir / "weights.safetensors"
    save_weights(training.average, config.network, weights)
    write_card(config, names, len(more), run_dir, start_from or trunk)
    return weights


def write_card(
    config: TrainingConfig, names: Sequence[str], n_photos: int, run_dir: Path, began_with: Path | None
) -> None:
    """``card.json``: what a reader needs to judge the weights or to make them again."""
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    card = {
        "algorithm": ALGORITHM,
        "config": asdict(config),
        "sequences": list(names),
        "photos": n_photos,
        "began_with": began_with.name if began_with else "random weights",
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {platform.system()}",
        "seconds": round(sum(json.loads(line).get("seconds", 0.0) for line in lines)),
        "weights_sha256": hashlib.sha256((run_dir / "weights.safetensors").read_bytes()).hexdigest(),
    }
    (run_dir / "card.json").write_text(json.dumps(card, indent=1, allow_nan=False))


def _loop(training: Training, draw: Draw, run_dir: Path) -> None:
    config, start = training.config, training.step
    bar = tqdm(total=config.last_step, initial=start, desc="training", unit="step")
    with bar, (run_dir / "metrics.jsonl").open("a") as log:
        lap = time.monotonic()
        for batch in _batches(draw, config, start):
            figures = training.advance(batch)
            figures["seconds"], lap = time.monotonic() - lap, time.monotonic()
            log.write(json.dumps({k: round(v, 5) for k, v in figures.items()}, allow_nan=False) + "\n")
            log.flush()
            bar.set_postfix(loss=f"{figures['loss']:.3f}", iou=f"{figures['iou_last']:.2f}")
            bar.update()
            if training.step % config.checkpoint_every == 0:
                training.save(run_dir / "checkpoint.safetensors")


def _batches(draw: Draw, config: TrainingConfig, start: int) -> Iterator[list[sampling.Sample]]:
    """Batches of steps start, start+1, …; the next one is drawn while the network works."""

    def make(step: int) -> list[sampling.Sample]:
        return [draw(step * config.batch + i) for i in range(config.batch)]

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make, start)
        for step in range(start, config.last_step):
            batch = coming.result()
            coming = pool.submit(make, step + 1)
            yield batch


def _drop_lines_after(log: Path, step: int) -> None:
    """Steps after the checkpoint run again; their old lines, and a torn last one, must not count twice."""
    lines = log.read_text().splitlines()[:step] if log.is_file() else []
    log.write_text("".join(f"{line}\n" for line in lines))


def _claim(config: TrainingConfig, run_dir: Path) -> None:
    path, text = run_dir / "config.json", json.dumps(asdict(config), indent=1)
    if path.is_file() and path.read_text() != text:
        raise BadInput(f"{run_dir} holds a run with other settings; choose another --out or those settings")
    path.write_text(text)
