"""Which walk each row of the ladder should take, found out on base classes that play novel ones."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from backends.core.errors import BadInput
from backends.weak_shot.classes import IGNORE
from backends.weak_shot.confusion import new_confusion, scores
from backends.weak_shot.loaders import open_photos
from backends.weak_shot.pretence import pretended
from backends.weak_shot.recipe import TrainingConfig, config_from
from pipelines.atomic import write_json
from pipelines.studies.ladder_run import LadderRun, progress

ALPHAS = (1.0, 2.0, 4.0, 16.0)
STEPS = (16, 64, 256)
THRESHOLDS = (0.5, 0.7, 0.9)
Choice = Mapping[str, Any]


def choices(one: LadderRun, row: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every combination with ``c_pretended``, the mean IoU (0..1) of the classes that play novel ones.

    Kept as ``ROW.choices.json`` and read again from there. Raises BadInput where the photos do not suffice
    and when the file is of other settings.
    """
    path = one.folder / f"{row}.choices.json"
    config = config_from({**values, "seed": one.seed})
    found = one.kept(path, config)
    if found is None:
        found = {"choices": _scored(one, config), "settings": one.settings(config)}
        write_json(path, found)
    return list(found["choices"])


def best(found: Sequence[Sequence[Choice]]) -> dict[str, Any]:
    """The combination with the highest mean over folds and seeds; of equals the first."""
    means = [statistics.fmean(choice["c_pretended"] for choice in same) for same in zip(*found, strict=True)]
    top = max(range(len(means)), key=means.__getitem__)
    return {**found[0][top], "c_pretended": round(means[top], 6)}


def line(row: str, choice: Choice) -> str:
    """One row's best combination in words."""
    told = ", ".join(f"{name} {value}" for name, value in choice.items() if name != "c_pretended")
    return f"{row}: {told}; C of classes that play novel ones {choice['c_pretended']:.3f}"


def _combinations(config: TrainingConfig) -> Iterator[dict[str, Any]]:
    walks: list[dict[str, Any]] = [{}]
    if config.propagate:
        walks = [{"steps": steps} for steps in STEPS]
        if config.boundary:
            edges = list(product((False, True), THRESHOLDS))
            walks = [{**walk, "cut": cut, "threshold": least} for walk in walks for cut, least in edges]
    yield from ({"alpha": alpha, **walk} for alpha, walk in product(ALPHAS, walks))


def _scored(one: LadderRun, config: TrainingConfig) -> list[dict[str, Any]]:
    stages, classes = one.stages(config), one.photos.classes
    playing = pretended(open_photos(one.data, one.fold))
    combinations = list(_combinations(config))
    confusions = [new_confusion(classes) for _ in combinations]
    for photo in progress(one.scored, "choosing"):
        truth, seen = one.photos.truth(photo), stages.evidence(photo)
        if (truth == IGNORE).all():
            continue
        for combination, confusion in zip(combinations, confusions, strict=True):
            walk = {name: value for name, value in combination.items() if name != "alpha"}
            size = (truth.shape[0], truth.shape[1])
            confusion.add(truth, seen.labels(combination["alpha"], replace(config.walk, **walk), size))
    return [
        {**combination, "c_pretended": _mean(scores(confusion, classes).per_class, playing)}
        for combination, confusion in zip(combinations, confusions, strict=True)
    ]


def _mean(per_class: Mapping[str, float], names: Sequence[str]) -> float:
    known = [per_class[name] for name in names if not math.isnan(per_class[name])]
    if not known:
        raise BadInput(
            f"no photo kept apart for choosing shows {', '.join(names)}; more photos are wanted, with masks"
        )
    return statistics.fmean(known)
