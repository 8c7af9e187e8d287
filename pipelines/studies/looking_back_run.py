"""One row of ``study looking-back``: the second phase from given weights, and its score, in one process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.core.errors import BadInput
from backends.registry import version_of
from pipelines.progress import Track, bar, quiet
from pipelines.studies.side_by_side import REPORT, as_json

if TYPE_CHECKING:
    from backends.video_semantic.scenes import Scenes

ALGORITHM = "video_semantic"


@dataclass(frozen=True)
class LookingBackRun:
    """What one process is told."""

    row: str
    seed: int
    config: Mapping[str, Any]
    """The training's whole configuration as JSON values."""
    folder: Path
    """The run's own folder; ``report.json`` there says that it is done."""
    data: Path
    split: str
    start_from: Path
    device: str
    held_out: Path | None
    """Where clips of held-out training frames are kept, if those are scored; None: ``split`` is."""

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the result, as JSON values."""
        told = {
            "config": self.config,
            "start_from": version_of(ALGORITHM, self.start_from),
            "scored": self.split if self.held_out is None else "held-out training frames",
        }
        settings: dict[str, Any] = as_json(told)
        return settings


def check_start(start_from: Path, data: Path, held_out: float) -> tuple[list[str], list[str]]:
    """What ``start_from`` says of the network, as ``KEY=VALUE``, and notes for people.

    Raises BadInput for a missing file, for other weights, for other classes than those of ``data`` and for a
    network that looks back already.
    """
    from backends.video_semantic.loaders import open_scenes
    from pipelines.scene_commands import load_for

    if not start_from.is_file():
        raise BadInput(f"--start-from {start_from}: no such file")
    network = load_for(open_scenes(data, "train"), data, start_from).config
    if network.looks_back:
        raise BadInput(
            f"--start-from {start_from} looks back already; give the single-frame weights that it began with"
        )
    words = [f"network.encoder={network.encoder}", f"network.trunk={json.dumps(network.trunk)}"]
    if not held_out or _held_out_of(start_from) >= held_out:
        return words, []
    return words, [
        f"{start_from} may have learned from the frames that are held out here: train it with "
        f"--set held_out={held_out}"
    ]


def perform(run: LookingBackRun) -> dict[str, Any]:
    """Train (or go on with a training that was stopped), score, write a report."""
    from backends.video_semantic import recipe, run_folder
    from pipelines.atomic import write_json
    from pipelines.evaluate_scenes import evaluate_video_semantic
    from pipelines.scene_commands import load

    config = recipe.config_from(run.config)
    run.folder.mkdir(parents=True, exist_ok=True)
    with (run.folder / "log.txt").open("a") as log, redirect_stderr(log):
        weights = run_folder.train(config, run.data, run.folder, start_from=run.start_from, device=run.device)
        scenes = scenes_to_score(run.data, run.split, run.held_out, config.held_out, progress=bar)
        score = evaluate_video_semantic(load(weights).network, scenes, device=run.device, progress=bar)
    seconds = json.loads((run.folder / "card.json").read_text())["seconds"]
    report = {"row": run.row, "seed": run.seed, "at_test": False, "settings": run.settings}
    report |= {"score": score, "seconds": seconds}
    write_json(run.folder / REPORT, report)
    return report


def scenes_to_score(
    data: Path, split: str, held_out: Path | None, share: float, *, progress: Track = quiet
) -> Scenes:
    """``split`` of ``data``, or with a folder ``held_out`` clips of its last training frames."""
    from backends.video_semantic.loaders import open_scenes
    from backends.video_semantic.scenes import tail
    from pipelines.studies.held_out_clips import ClipMaker

    if held_out is None:
        return open_scenes(data, split)
    return ClipMaker(tail(open_scenes(data, "train"), share), held_out).scored(progress=progress)


def _held_out_of(weights: Path) -> float:
    """The share that a run held out, by the card beside its weights; 0 where there is none."""
    card = weights.with_name("card.json")
    try:
        return float(json.loads(card.read_text())["config"]["held_out"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
