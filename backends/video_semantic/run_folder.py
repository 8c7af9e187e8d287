"""A run folder, resumable to the same result after a kill; what it holds is told in ``training.loop``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from backends.training import distributed, loop
from backends.training.carry import carried
from backends.training.curves import Panels
from backends.training.files import read_tensors
from backends.video_semantic import clips, sampling, scenes
from backends.video_semantic.loaders import open_scenes
from backends.video_semantic.networks import SceneNetwork, build
from backends.video_semantic.recipe import TrainingConfig
from backends.video_semantic.scenes import Scenes
from backends.video_semantic.training import StillTraining, Training
from backends.video_semantic.video_training import VideoTraining, frames_of
from backends.video_semantic.weights_file import ALGORITHM, save_weights

PANELS: Panels = (
    ("loss", {"loss": "all", "hard": "hard pixels", "jaccard": "soft Jaccard", "auxiliary": "auxiliary"}),
    ("clips", {"single": "single frame", "steady": "temporal"}),
    ("rate", {"rate": "heads", "trunk_rate": "trunk"}),
)


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

    ``data`` is in any layout that ``loaders`` knows; its split ``train`` is learned from. Ctrl-C and SIGKILL
    lose at most ``checkpoint_every`` steps. Raises BadInput when the folder holds a run with another config.
    """
    learned = scenes.without_tail(open_scenes(data, "train"), config.held_out)
    config = replace(config, network=replace(config.network, classes=len(learned.classes)))
    loop.claim(config, run_dir)
    stock = sampling.Stock(learned, count(learned))
    counts = stock.counts.sum(0)
    training: Training[Any] = (
        VideoTraining(config, counts, device)
        if config.network.looks_back
        else StillTraining(config, counts, device)
    )
    if not loop.resume(training, run_dir):
        begin(training, trunk, start_from, learned.classes)
    loop.run(
        training,
        partial(_batches, stock, config),
        run_dir,
        last_step=config.last_step,
        checkpoint_every=config.checkpoint_every,
        panels=PANELS,
        shown=("loss", "jaccard"),
    )
    weights = run_dir / "weights.safetensors"
    save_weights(training.learner.average, config.network, learned.classes, weights)
    loop.write_card(run_dir, about(config, learned, start_from or trunk))
    return weights


def begin(
    training: Training[Any], trunk: Path | None, start_from: Path | None, classes: Sequence[str]
) -> None:
    """Fill a fresh network from another run's weights or an ImageNet trunk, if either is given.

    What the other run knew of a class goes by its name; a class that it did not know begins fresh.
    """
    if start_from is not None:
        state, about = read_tensors(start_from)
        before = tuple(json.loads(about.get("classes", "null")) or classes)
        make = partial(_network, training.config)
        whole = {name: value.float() for name, value in state.items()}
        training.learner.take_over(carried(whole, before, training.network, classes, make))
    elif trunk is not None:
        training.start_from_imagenet(trunk)


def _network(config: TrainingConfig, n: int) -> SceneNetwork:
    return build(replace(config.network, classes=n))


def about(config: TrainingConfig, learned: Scenes, began_with: Path | None) -> dict[str, object]:
    """What the run's card says of it."""
    return {
        "algorithm": ALGORITHM,
        "config": asdict(config),
        "classes": list(learned.classes),
        "footage": [part.name for part in learned.footage],
        "labelled_frames": len(learned.labelled()),
        "began_with": began_with.name if began_with else "random weights",
    }


def count(learned: Scenes) -> NDArray[np.int64]:
    """(labelled frames, n) pixels per class. Raises BadMask like ``Scenes.labels``."""
    items = tqdm(learned.labelled(), desc="label maps", unit="frame", disable=None)
    n = len(learned.classes)
    return np.stack([np.bincount(learned.labels(*i).ravel(), minlength=256)[:n] for i in items])


def _batches(stock: sampling.Stock, config: TrainingConfig, start: int) -> Iterator[list[Any]]:
    mine = distributed.share(config.batch)

    def make(step: int) -> list[Any]:
        return [_draw(stock, config, step * config.batch + i) for i in mine]

    return loop.ahead(make, start, config.last_step)


def _draw(stock: sampling.Stock, config: TrainingConfig, index: int) -> sampling.Sample | clips.ClipSample:
    if config.network.looks_back:
        return clips.draw(stock, config.sample, config.clip, frames_of(config), config.seed, index)
    return sampling.draw(stock, config.sample, config.seed, index)
