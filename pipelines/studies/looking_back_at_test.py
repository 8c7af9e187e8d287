"""Rows that cost no training: switches of attention over time changed in weights that are given.

All rows of a file are scored in one pass, in turn on every frame; a row that was scored before is read again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.progress import Track, quiet
from pipelines.studies.side_by_side import as_json

if TYPE_CHECKING:
    from backends.video_semantic.networks import SceneNetwork
    from backends.video_semantic.scenes import Scenes
    from backends.video_semantic.stream import Scene
    from backends.video_semantic.weights_file import SceneWeights

Switches = Mapping[str, Mapping[str, Any]]
"""Row -> fields of TemporalConfig that are changed."""


def allowed(network: SceneNetwork, switches: Switches) -> dict[str, Mapping[str, Any]]:
    """Those whose windows the network has learned; all, for one that never looks back."""
    if network.temporal is None:
        return dict(switches)
    config, learned = network.temporal.config, network.temporal.radii
    return {row: given for row, given in switches.items() if learned.covers(replace(config, **given).radii)}


def score_switched(
    weights: SceneWeights,
    version: str,
    switches: Switches,
    base: str,
    scenes: Scenes,
    kept: Path,
    *,
    device: str = "cpu",
    progress: Track = quiet,
) -> list[dict[str, Any]]:
    """One report per row, ``base`` (nothing looks back) first; ``kept`` is read and written.

    Raises BadInput for weights that never look back and for switches that were not learned.
    """
    from pipelines.atomic import write_json
    from pipelines.evaluate_scenes import evaluate_ways

    ways = _ways(weights, switches, base, device)
    wanted = as_json({base: {"rho": 0.0}, **switches})
    found = _read(kept)
    missing = [row for row in wanted if found.get(row, {}).get("switches") != wanted[row]]
    if missing:
        scored = evaluate_ways({row: ways[row] for row in missing}, scenes, device=device, progress=progress)[
            "ways"
        ]
        found |= {row: {"switches": wanted[row], "score": scored[row]} for row in missing}
        write_json(kept, found)
    return [
        {"row": row, "seed": version, "at_test": True, "settings": wanted[row], "score": found[row]["score"]}
        for row in wanted
    ]


def _ways(weights: SceneWeights, switches: Switches, base: str, device: str) -> dict[str, Scene]:
    from backends.video_semantic.switches import Switched, switched

    network = weights.network.eval().to(device)
    return {base: Switched(network), **{row: switched(network, given) for row, given in switches.items()}}


def _read(kept: Path) -> dict[str, Any]:
    if not kept.is_file():
        return {}
    found: dict[str, Any] = json.loads(kept.read_text())
    return found
