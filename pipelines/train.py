"""``maskloop train``: read a config, run the algorithm's training, write the run folder and its card."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput
from backends.settings import from_env
from pipelines.export.snapshot import is_snapshot, open_snapshot
from pipelines.progress import bar

DOWNLOAD = "download"
TRAINABLE = ("video_object", "clicks", "video_semantic", "weak_shot")


def train(
    algorithm: str,
    *,
    data: Path,
    out: Path,
    config: Path | None = None,
    overrides: Sequence[str] = (),
    trunk: Path | None = None,
    trunks_dir: Path | None = None,
    start_from: Path | None = None,
    stills: Path | None = None,
    device: str = "cpu",
    fresh: bool = False,
    fold: int = 0,
    tune: bool = False,
) -> Path:
    """Train ``algorithm`` on ``data`` in run folder ``out``; returns the weights' path.

    ``data`` is in the DAVIS layout, or for weak_shot a folder of tagged photos whose fold ``fold`` is novel.

    ``overrides`` are ``KEY=VALUE`` with VALUE in JSON and dots for nested names (``sample.paste=0.5``). A run
    that was stopped goes on where it was unless ``fresh``. ``trunk`` is a file or the word ``download``: then
    the config's trunk is fetched into ``trunks_dir`` (download.fetch_trunk says what that raises). Started by
    torchrun, the processes share each batch. ``tune``: weak_shot's classifier and final network begin with
    those of ``start_from`` too, as the other algorithms do anyway. Raises BadInput for unknown settings and a
    snapshot that was edited, whose held-out clips nothing is trained on.
    """
    if algorithm not in TRAINABLE:
        raise BadInput(f"unknown algorithm {algorithm!r}; trainable: {', '.join(TRAINABLE)}")
    if algorithm == "weak_shot" and stills is not None:
        raise BadInput("weak_shot learns from the photos in --data alone; leave --stills out")
    room = f"backends.{algorithm}"  # its modules import torch, which is loaded only when something is trained
    recipe, run_folder = import_module(f"{room}.recipe"), import_module(f"{room}.run_folder")
    settings = _without_held_out(recipe.config_from(read_config(config, overrides)), data)
    distributed = import_module("backends.training.distributed")
    with distributed.joined(device) as own_device:
        if algorithm != "video_object" and distributed.size() > 1:
            raise BadInput(f"{algorithm} trains in one process; start it without torchrun")
        if distributed.leads():
            if fresh:
                _forget(out)
            trunk = _trunk_file(trunk, settings, trunks_dir)
        distributed.wait()
        if distributed.size() == 1:
            _use_all_cores()  # torchrun says by OMP_NUM_THREADS how many each process gets
        weights: Path = run_folder.train(
            settings,
            *_material(algorithm, data, fold),
            out,
            trunk=_trunk_file(trunk, settings, trunks_dir),
            start_from=start_from,
            device=own_device,
            **({} if stills is None else {"photos": stills}),
            **({"tune": True} if tune and algorithm == "weak_shot" else {}),
        )
    return weights


def _material(algorithm: str, data: Path, fold: int) -> tuple[Any]:
    """What the room's training reads: the folder itself, or tagged photos opened from it."""
    if algorithm != "weak_shot":
        return (data,)
    from backends.weak_shot.loaders import open_photos

    return (open_photos(data, fold),)


def _without_held_out(settings: Any, data: Path) -> Any:
    """The settings that leave a snapshot's held-out clips alone; other layouts say themselves what trains.

    Raises BadInput for a snapshot that was edited.
    """
    if not is_snapshot(data):
        return settings
    held_out = open_snapshot(data, progress=bar).manifest.get("held_out", ())
    more = [name for name in held_out if name not in getattr(settings, "validation", held_out)]
    return replace(settings, validation=(*settings.validation, *more)) if more else settings


def _trunk_file(trunk: Path | None, settings: Any, trunks_dir: Path | None) -> Path | None:
    """The file of the trunk; ``download`` stands for the published one, kept in ``trunks_dir``."""
    if trunk is None or str(trunk) != DOWNLOAD:
        return trunk
    from backends.trunks.download import fetch_trunk

    name = getattr(settings, "trunk", "") or getattr(settings.network, "trunk", "mobilenet_v2")
    return fetch_trunk(name, trunks_dir or from_env().models_dir / "trunks")


def read_config(config: Path | None, overrides: Sequence[str]) -> dict[str, Any]:
    """The JSON config with overrides applied."""
    values: dict[str, Any] = {} if config is None else _read(config)
    for item in overrides:
        name, equals, text = item.partition("=")
        if not equals:
            raise BadInput(f"--set {item!r}: wants KEY=VALUE")
        target = values
        *parents, last = name.split(".")
        for parent in parents:
            target = target.setdefault(parent, {})
        try:
            target[last] = json.loads(text)
        except json.JSONDecodeError:
            target[last] = text
    return values


def _read(config: Path) -> dict[str, Any]:
    try:
        values = json.loads(config.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise BadInput(f"config {config}: {error}") from error
    if not isinstance(values, dict):
        raise BadInput(f"config {config}: wants a JSON object")
    return values


def _forget(out: Path) -> None:
    for name in (
        "config.json",
        "metrics.jsonl",
        "checkpoint.safetensors",
        "weights.safetensors",
        "pair.safetensors",
        "card.json",
        "curves.png",
    ):
        (out / name).unlink(missing_ok=True)
    for stage in out.glob("*/stage.json"):
        shutil.rmtree(stage.parent)


def _use_all_cores() -> None:
    """As many as the settings allow."""
    import torch

    torch.set_num_threads(from_env().threads or len(os.sched_getaffinity(0)))
