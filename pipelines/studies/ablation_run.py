"""One training of an ablation and its score, in a process of its own; done once, found again afterwards."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.core.errors import BadInput

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


def finished(run: AblationRun) -> dict[str, Any] | None:
    """The report of a run that is done, None of one that is not.

    Raises BadInput when the folder holds the report of other settings.
    """
    path = run.folder / "report.json"
    if not path.is_file():
        return None
    report: dict[str, Any] = json.loads(path.read_text())
    if report["settings"] != _settings(run):
        raise BadInput(
            f"{run.folder} holds a run with other settings; choose another --out or those settings"
        )
    return report


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
        report = {"row": run.row, "seed": run.seed, "settings": _settings(run)}
        report["score"] = _score(run, weights, config.validation, {})
        if run.at_test:
            report["score_at_test"] = _score(run, weights, config.validation, dict(run.at_test))
    report["seconds"] = json.loads((run.folder / "card.json").read_text())["seconds"]
    write_json(run.folder / "report.json", report)
    return report


def prepare_process(threads: int) -> None:
    """What each process does first: take its share of the cores, and end when its parent has ended."""
    import torch

    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


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


def _settings(run: AblationRun) -> dict[str, Any]:
    told = {
        "config": run.config,
        "short_side": run.short_side,
        "trunk": run.trunk.name if run.trunk else None,
        "at_test": dict(run.at_test),
    }
    settings: dict[str, Any] = json.loads(
        json.dumps(told)
    )  # tuples become lists, as they come back from disk
    return settings


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        sys.stderr.flush()
        os._exit(1)
