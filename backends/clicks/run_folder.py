"""A run folder of this room: what is read, trained and written; :mod:`backends.training.loop` says how."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from backends.clicks import sampling, stills
from backends.clicks.recipe import TrainingConfig
from backends.clicks.training import Training
from backends.clicks.weights_file import ALGORITHM, save_weights
from backends.training import loop

PANELS = (
    ("loss", {"loss": "first and last answer"}),
    ("IoU", {"iou_first": "first answer", "iou_last": "last answer"}),
    ("gradient norm", {"gradient": "before clipping at 1"}),
    ("learning rate", {"rate": "heads", "trunk_rate": "trunk"}),
)


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
    loop.claim(config, run_dir)
    names = stills.sequence_names(data, config.held_out)
    frames = stills.from_videos(data, names, config.every)
    more = [] if photos is None else stills.from_photos(photos, config.photos_until)
    training = Training(config, device)
    if not loop.resume(training, run_dir):
        if start_from is not None:
            training.start_from(start_from)
        elif trunk is not None:
            training.start_from_imagenet(trunk)

    def make(step: int) -> list[sampling.Sample]:
        numbers = (step * config.batch + i for i in range(config.batch))
        return [sampling.draw(frames, more, config.sample, config.seed, i) for i in numbers]

    def batches(start: int) -> Iterator[list[sampling.Sample]]:
        return loop.ahead(make, start, config.last_step)

    loop.run(
        training,
        batches,
        run_dir,
        checkpoint_every=config.checkpoint_every,
        last_step=config.last_step,
        panels=PANELS,
        shown=("loss", "iou_last"),
    )
    weights = run_dir / "weights.safetensors"
    save_weights(training.average, config.network, weights)
    about = {"sequences": list(names), "photos": len(more)}
    began = start_from or trunk
    about |= {"began_with": began.name if began else "random weights"}
    loop.write_card(run_dir, {"algorithm": ALGORITHM, "config": asdict(config), **about})
    return weights
