"""How a served version learns on: short trainings for two processor cores, their length by the data.

The rates and views stand in ``backends/<room>/configs``: ``tune.json`` where there is a version to start
from, ``begin.json`` where there is only a trunk. What the network is comes from the version itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import backends
from backends.core.errors import BadInput
from pipelines.loop.plan import Plan
from pipelines.loop.scores import Data

_CONFIGS = Path(backends.__path__[0])


@dataclass(frozen=True)
class Effort:
    """Steps by the number of labelled frames (weak_shot: photos) that train."""

    per_frame: float
    least: int
    most: int

    def steps(self, frames: int) -> int:
        """A step or two per frame, within what is worth it and what a person waits for."""
        return min(self.most, max(self.least, round(self.per_frame * frames)))


TUNE = {
    "video_object": {"steps": Effort(2.0, 80, 400)},
    "video_semantic": {"steps": Effort(6.0, 120, 600)},
    "weak_shot": {"classifier.steps": Effort(2.0, 100, 400), "segmentation.steps": Effort(3.0, 150, 600)},
}
BEGIN = {
    "video_object": {"steps": Effort(6.0, 400, 1500)},
    "video_semantic": {"steps": Effort(20.0, 400, 1500)},
    "weak_shot": {
        "classifier.steps": Effort(6.0, 300, 900),
        "boundary_net.steps": Effort(4.0, 200, 500),
        "affinity.steps": Effort(4.0, 200, 500),
        "segmentation.steps": Effort(8.0, 400, 1200),
    },
}
"""From an ImageNet trunk: most of an hour on two cores."""


def settings_for(plan: Plan, data: Data, held_out: list[str]) -> dict[str, Any]:
    """The training's settings: recipe, the version's own network, then what the policy says over it."""
    efforts = (TUNE if plan.start_from else BEGIN)[plan.algorithm]
    values = _config(plan.algorithm, "tune" if plan.start_from else "begin")
    for name, effort in efforts.items():
        values = merged(values, _nested(name, effort.steps(data.train_frames)))
    values["seed"] = plan.seed
    if plan.algorithm == "video_object":
        values["validation"] = held_out
    if plan.start_from:
        values = merged(values, _OF_VERSION[plan.algorithm](Path(plan.start_from)))
    found: dict[str, Any] = json.loads(json.dumps(merged(values, plan.training)))  # as it is read again
    return found


def steps_of(settings: Mapping[str, Any], algorithm: str, *, tuned: bool) -> int:
    """All optimiser steps that a training with these settings makes."""
    names = (TUNE if tuned else BEGIN)[algorithm]
    return sum(int(_at(settings, name)) for name in names)


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid over ``under``, object by object."""
    found = dict(under)
    for name, value in over.items():
        below = found.get(name)
        found[name] = (
            merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
        )
    return found


def _of_objects(weights: Path) -> dict[str, Any]:
    from backends.training.files import read_tensors

    return {"network": json.loads(read_tensors(weights)[1]["network"])}


def _of_scenes(weights: Path) -> dict[str, Any]:
    """Its classes come from the snapshot; a network that looks back learns from clips, which cost more."""
    from backends.video_semantic.weights_file import load_weights

    config = load_weights(weights).config
    heavy = {"batch": 2, "checkpoint_every": 10} if config.looks_back else {}
    return {"network": config.as_dict() | {"classes": 0}, **heavy}


def _of_photos(weights: Path) -> dict[str, Any]:
    from backends.weak_shot.weights_file import load

    bundle = load(weights)
    about = {"trunk": bundle.trunk, "response": bundle.variant, "response_gt": bundle.variant != "cam"}
    about |= {"walk": asdict(bundle.walk), "responses": asdict(bundle.responses)}
    return about | {"long_side_px": bundle.long_side_px, "stage": bundle.walk.stages}


_OF_VERSION = {"video_object": _of_objects, "video_semantic": _of_scenes, "weak_shot": _of_photos}


def _config(algorithm: str, name: str) -> dict[str, Any]:
    path = _CONFIGS / algorithm / "configs" / f"{name}.json"
    if not path.is_file():
        raise BadInput(f"nothing learns from a project as {algorithm!r}; known: {', '.join(sorted(TUNE))}")
    values: dict[str, Any] = json.loads(path.read_text())
    return values


def _nested(name: str, value: Any) -> dict[str, Any]:
    for part in reversed(name.split(".")):
        value = {part: value}
    found: dict[str, Any] = value
    return found


def _at(values: Mapping[str, Any], name: str) -> Any:
    found: Any = values
    for part in name.split("."):
        found = found[part]
    return found
