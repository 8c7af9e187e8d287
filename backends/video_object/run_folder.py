"""A run folder of this room: what is read, trained and written; :mod:`backends.training.loop` says how."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

from backends.core.errors import BadInput
from backends.training import distributed, loop
from backends.video_object import sampling, sequences, stills
from backends.video_object.recipe import TrainingConfig
from backends.video_object.training import Training
from backends.video_object.weights_file import save_weights

PANELS = (
    ("loss", {"loss": "whole loss", "first": "first frame", "last": "last frame"}),
    ("gradient norm", {"gradient": "before clipping at 1"}),
    ("learning rate", {"rate": "heads", "trunk_rate": "trunk"}),
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

    Ctrl-C and SIGKILL lose at most ``checkpoint_every`` steps. Of several processes (see distributed) the
    first one alone writes. Raises BadInput when the folder holds a run with another config.
    """
    if distributed.leads():
        loop.claim(config, run_dir)
    if config.sample.still and photos is None:
        raise BadInput("sample.still is set, but there are no stills; give their folder with --stills")
    videos = sequences.load(data, training_names(data, config.validation))
    loaded = stills.load(photos, count=config.stills_count) if photos and config.sample.still else []
    training = Training(config, device)
    if not loop.resume(training, run_dir):
        if start_from is not None:
            training.start_from(start_from)
        elif trunk is not None:
            training.start_from_imagenet(trunk)
    distributed.wait()  # nobody writes before everybody has read
    loop.run(
        training,
        partial(_batches, videos, loaded, config),
        run_dir,
        checkpoint_every=config.checkpoint_every,
        last_step=config.steps,
        panels=PANELS,
    )
    weights = run_dir / "weights.safetensors"
    if distributed.leads():
        save_weights(training.average, config.network, weights, start_from)
        about = {"sequences": [v.name for v in videos], "stills": len(loaded)}
        began = start_from or trunk
        about |= {"began_with": began.name if began else "random weights"}
        loop.write_card(run_dir, {"algorithm": "video_object", "config": asdict(config), **about})
    return weights


def _batches(
    videos: list[sequences.VideoSequence], photos: list[stills.Still], config: TrainingConfig, start: int
) -> Iterator[list[sampling.Sample]]:
    """This process's share of batches start, start+1, …"""
    mine = distributed.share(config.batch)

    def make(step: int) -> list[sampling.Sample]:
        chosen = (step * config.batch + i for i in mine)
        return [sampling.draw(videos, photos, config.sample, config.seed, i) for i in chosen]

    return loop.ahead(make, start, config.steps)


def training_names(data: Path, validation: tuple[str, ...]) -> list[str]:
    """All sequences below ``data`` but those kept for validation."""
    folder = data / "JPEGImages"
    folder = folder / "480p" if (folder / "480p").is_dir() else folder
    if not folder.is_dir():
        raise BadInput(f"{data} holds no JPEGImages folder; training wants the DAVIS layout")
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name not in validation)
