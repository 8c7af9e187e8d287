"""A run folder, resumable to the same result after a kill.

It holds ``config.json``, ``metrics.jsonl`` (one line per step), ``curves.png``, ``checkpoint.safetensors``
(weights, optimiser, average) and at the end ``weights.safetensors`` with its ``card.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from backends.core.errors import BadInput
from backends.video_object import curves, distributed, sampling, sequences, stills
from backends.video_object.recipe import TrainingConfig
from backends.video_object.training import Training
from backends.video_object.weights_file import save_weights


def train(
    config: TrainingConfig,
    data: Path,
    run_dir: Path,
    *,
    trunk: Path | None = None,
    start_from: Path | None = None,
    photos: Path | None = None,
    device: str = "cpu",
) -> Path:
    """Run (or go on with) the training in ``run_dir``; returns ``weights.safetensors``.

    Ctrl-C and SIGKILL lose at most ``checkpoint_every`` steps. Of several processes (see distributed) the
    first one alone writes. Raises BadInput when the folder holds a run with another config.
    """
    if distributed.leads():
        run_dir.mkdir(parents=True, exist_ok=True)
        _claim(config, run_dir)
    if config.sample.still and photos is None:
        raise BadInput("sample.still is set, but there are no stills; give their folder with --stills")
    videos = sequences.load(data, training_names(data, config.validation))
    loaded = stills.load(photos, count=config.stills_count) if photos and config.sample.still else []
    training = Training(config, device)
    checkpoint = run_dir / "checkpoint.safetensors"
    if checkpoint.is_file():
        training.load(checkpoint)
    elif start_from is not None:
        training.start_from(start_from)
    elif trunk is not None:
        training.start_from_imagenet(trunk)
    distributed.wait()  # nobody writes before everybody has read
    weights = run_dir / "weights.safetensors"
    if not distributed.leads():
        for batch in _batches(videos, loaded, config, training.step):
            training.advance(batch)
        return weights
    _drop_lines_after(run_dir / "metrics.jsonl", training.step)
    try:
        _loop(training, videos, loaded, run_dir)
    finally:
        if training.step:
            training.save(checkpoint)
    save_weights(training.average, config.network, weights)
    write_card(config, [v.name for v in videos], len(loaded), run_dir, start_from or trunk)
    if hindrance := curves.draw(run_dir):
        print(f"note: {hindrance}", file=sys.stderr)
    return weights


def write_card(
    config: TrainingConfig, names: list[str], photos: int, run_dir: Path, began_with: Path | None
) -> None:
    """``card.json``: what a reader needs to judge the weights or to make them again."""
    card = {
        "algorithm": "video_object",
        "config": asdict(config),
        "sequences": names,
        "stills": photos,
        "began_with": began_with.name if began_with else "random weights",
        "torch": torch.__version__,
        "processes": distributed.size(),
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {platform.system()}",
        "seconds": round(
            sum(json.loads(line).get("seconds", 0.0) for line in (run_dir / "metrics.jsonl").open())
        ),
        "weights_sha256": hashlib.sha256((run_dir / "weights.safetensors").read_bytes()).hexdigest(),
    }
    (run_dir / "card.json").write_text(json.dumps(card, indent=1, allow_nan=False))


def _loop(
    training: Training, videos: list[sequences.VideoSequence], photos: list[stills.Still], run_dir: Path
) -> None:
    config, start = training.config, training.step
    bar = tqdm(total=config.steps, initial=start, desc="training", unit="step")
    with bar, (run_dir / "metrics.jsonl").open("a") as log:
        lap = time.monotonic()
        for batch in _batches(videos, photos, config, start):
            figures = training.advance(batch)
            figures["seconds"], lap = time.monotonic() - lap, time.monotonic()
            log.write(json.dumps({k: _short(v) for k, v in figures.items()}, allow_nan=False) + "\n")
            log.flush()
            bar.set_postfix(loss=f"{figures['loss']:.3f}")
            bar.update()
            if training.step % config.checkpoint_every == 0:
                training.save(run_dir / "checkpoint.safetensors")
                curves.draw(run_dir)


def _short(figure: float) -> float:
    """Six digits are enough; a learning rate near 0 must not be rounded to it."""
    return figure if isinstance(figure, int) else float(f"{figure:.6g}")


def _drop_lines_after(log: Path, step: int) -> None:
    """Steps after the checkpoint run again; their old lines, and a torn last one, must not count twice."""
    lines = log.read_text().splitlines()[:step] if log.is_file() else []
    log.write_text("".join(f"{line}\n" for line in lines))


def _batches(
    videos: list[sequences.VideoSequence], photos: list[stills.Still], config: TrainingConfig, start: int
) -> Iterator[list[sampling.Sample]]:
    """This process's share of batches start, start+1, …; the next is drawn while the network works."""
    mine = distributed.share(config.batch)

    def make(step: int) -> list[sampling.Sample]:
        chosen = (step * config.batch + i for i in mine)
        return [sampling.draw(videos, photos, config.sample, config.seed, i) for i in chosen]

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make, start)
        for step in range(start, config.steps):
            batch = coming.result()
            coming = pool.submit(make, step + 1)
            yield batch


def training_names(data: Path, validation: tuple[str, ...]) -> list[str]:
    """All sequences below ``data`` but those kept for validation."""
    folder = data / "JPEGImages"
    folder = folder / "480p" if (folder / "480p").is_dir() else folder
    if not folder.is_dir():
        raise BadInput(f"{data} holds no JPEGImages folder; training wants the DAVIS layout")
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name not in validation)


def _claim(config: TrainingConfig, run_dir: Path) -> None:
    path, text = run_dir / "config.json", json.dumps(asdict(config), indent=1)
    if path.is_file() and path.read_text() != text:
        raise BadInput(f"{run_dir} holds a run with other settings; choose another --out or those settings")
    path.write_text(text)
