"""One training of an ablation and its score, in a process of its own; done once, found again afterwards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.studies.side_by_side import REPORT, as_json

if TYPE_CHECKING:
    from backends.video_object.segmenter import VideoObjectSegmenter


@dataclass(frozen=True)
class AblationRun:
    """What one process is told."""

    row: str
    seed: int
    config: Mapping[str, Any]
    """The training's whole configuration as JSON values."""
    folder: Path
    """The run's own folder; ``report.json`` there says that it is done."""
    data: Path
    trunk: Path | None
    device: str
    short_side: int
    """Rows (or columns, of an upright clip) at which it is scored, px."""
    at_test: tuple[tuple[str, Any], ...] = ()
    """Switches of the network that are changed after training, and scored in a second report."""
    stills: Path | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the result, as JSON values."""
        told = {
            "config": self.config,
            "short_side": self.short_side,
            "trunk": self.trunk.name if self.trunk else None,
            "at_test": dict(self.at_test),
        }
        settings: dict[str, Any] = as_json(told)
        return settings


def perform(run: AblationRun) -> dict[str, Any]:
    """Train (or go on with a training that was stopped), score on the sequences held out, write a report."""
    from backends.video_object import recipe, run_folder
    from pipelines.atomic import write_json

    config = recipe.config_from(run.config)
    run.folder.mkdir(parents=True, exist_ok=True)
    with (run.folder / "log.txt").open("a") as log, redirect_stderr(log):
        weights = run_folder.train(
            config, run.data, run.folder, trunk=run.trunk, photos=run.stills, device=run.device
        )
        report = {"row": run.row, "seed": run.seed, "settings": run.settings}
        report["score"] = _score(run, weights, config.validation, {})
        if run.at_test:
            report["score_at_test"] = _score(run, weights, config.validation, dict(run.at_test))
    report["seconds"] = json.loads((run.folder / "card.json").read_text())["seconds"]
    write_json(run.folder / REPORT, report)
    return report


def opened(run: AblationRun, weights: Path, switches: Mapping[str, Any]) -> VideoObjectSegmenter:
    """The trained network, its ``switches`` changed, at the size at which the study scores."""
    from backends.video_object.segmenter import VideoObjectSegmenter, load

    network = load(weights, device=run.device).network
    network.config = replace(network.config, **switches)
    side = (run.short_side, run.short_side)
    return VideoObjectSegmenter(network, f"{run.row}, seed {run.seed}", run.device, side)


def _score(
    run: AblationRun, weights: Path, sequences: tuple[str, ...], switches: Mapping[str, Any]
) -> dict[str, Any]:
    from pipelines.evaluate import evaluate_video_object
    from pipelines.progress import bar

    return evaluate_video_object(opened(run, weights, switches), run.data, sequences, progress=bar)
