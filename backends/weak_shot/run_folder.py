"""A run folder of this room: one folder per stage, then one bundle of all networks and its card.

Ctrl-C and SIGKILL lose at most ``checkpoint_every`` steps of one stage; started again with the same settings,
the run goes on to the same result.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backends.core.errors import BadInput
from backends.training import curves, loop
from backends.weak_shot import weights_file
from backends.weak_shot.album import Album, check
from backends.weak_shot.photos import Photos
from backends.weak_shot.pictures import Shelf
from backends.weak_shot.places import in_run, write_whole
from backends.weak_shot.recipe import TrainingConfig, response_config
from backends.weak_shot.stages import Means, Stages
from backends.weak_shot.training import WEIGHTS
from backends.weak_shot.weights_file import ALGORITHM, Bundle

PAIR = "pair.safetensors"
CARRIED = ("boundary", "affinity")
"""Networks that know no classes, and so serve any project."""


def train(
    config: TrainingConfig,
    photos: Photos,
    out: Path,
    *,
    trunk: Path | None = None,
    start_from: Path | None = None,
    tune: bool = False,
    device: str = "cpu",
) -> Path:
    """Run (or go on with) the stages in ``out``; returns ``weights.safetensors``, a bundle of all networks.

    ``pair.safetensors`` beside it holds boundary and affinity alone, for other runs to start from.

    ``trunk`` is a file of ImageNet weights. ``start_from`` is a bundle: its boundary and affinity networks
    are taken as they are, so that only classifier and final network are trained; with ``tune`` these begin
    with the bundle's, class by class of the same name. Raises BadInput when the photos cannot teach the
    novel classes, for a folder of other settings, and for weights on another trunk.
    """
    bundle = None if start_from is None else weights_file.load(start_from)
    taught = {} if bundle is None else carried(bundle, config)
    begun = begun_with(bundle) if bundle is not None and tune else {}
    known = bundle.classes.names if bundle is not None else ()
    notes = check(photos, config.masks, taught=set(CARRIED) <= set(taught))
    for note in (*photos.notes, *notes):
        print(f"note: {note}", file=sys.stderr)
    loop.claim(config, out)
    album = Album(photos, config.long_side_px, Shelf(config.memory_mb * 1_000_000))
    stages = Stages(config, Means(album, in_run(out), trunk, taught, device, begun, known))
    made = bundle_of(stages)
    weights_file.save(made, out / WEIGHTS)
    if made.affinity is not None:
        weights_file.save(replace(made, classifier=None, segmentation=None), out / PAIR)
    began = {"trunk": trunk.name if trunk else "random weights", "taught": sorted(taught)}
    began |= {"tuned": sorted(begun)} if begun else {}
    write_card(out, config, photos, [*photos.notes, *notes], began)
    return out / WEIGHTS


def carried(bundle: Bundle, config: TrainingConfig) -> dict[str, Mapping[str, Tensor]]:
    """The weights that another run may take over. Raises BadInput when they stand on another trunk."""
    if bundle.trunk != config.trunk:
        raise BadInput(f"the weights to start from stand on {bundle.trunk}, the config wants {config.trunk}")
    return {name: network.state_dict() for name, network in bundle.parts.items() if name in CARRIED}


def begun_with(bundle: Bundle) -> dict[str, Mapping[str, Tensor]]:
    """The weights that classifier and final network may learn on from."""
    return {name: network.state_dict() for name, network in bundle.parts.items() if name not in CARRIED}


def bundle_of(stages: Stages) -> Bundle:
    """Every network of the config, trained, in the order in which people see results."""
    c = stages.config
    networks: dict[str, Any] = {"classifier": stages.classifier}
    if c.propagate:
        networks["boundary"] = stages.boundary.network if c.boundary else None
        networks["affinity"] = stages.affinity
    networks["segmentation"] = stages.segmentation
    walk = replace(c.walk, stages=c.stage)
    classes = stages.album.photos.classes
    how = response_config(c)
    return Bundle(c.trunk, classes, c.response, walk, how, **networks, long_side_px=c.long_side_px)


def write_card(
    out: Path, config: TrainingConfig, photos: Photos, notes: list[str], began: Mapping[str, Any]
) -> None:
    """``card.json``: what a reader needs to judge the weights or to make them again."""
    card = {
        "algorithm": ALGORITHM,
        "config": asdict(config),
        "classes": photos.classes.to_json(),
        "layout": photos.layout,
        "fold": photos.fold,
        "photos": {
            "train": len(photos.train),
            "base": len(photos.base_images),
            "novel": len(photos.novel_images),
            "held_out": len(photos.held_out),
        },
        "notes": notes,
        "began_with": began,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {platform.system()}",
        "seconds": {folder.name: seconds(folder) for folder in sorted(out.iterdir()) if folder.is_dir()},
        "weights_sha256": hashlib.sha256((out / WEIGHTS).read_bytes()).hexdigest(),
    }
    write_whole(out / "card.json", json.dumps(card, indent=1, allow_nan=False).encode())


def seconds(stage: Path) -> int:
    """How long a stage's training took, by its log."""
    return round(sum(step.get("seconds", 0.0) for step in curves.read(stage / loop.METRICS)))
