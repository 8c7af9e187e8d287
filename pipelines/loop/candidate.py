"""From a snapshot to a version: the served version learns on in a run folder, the outcome is registered.

The same plan in the same folder goes on where a killed run was, to the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput
from backends.loop.files import read_json, write_json
from backends.registry import Registry, Served
from pipelines.atomic import write_bytes
from pipelines.export.snapshot import Snapshot
from pipelines.loop.plan import Plan, code_revision, data_of
from pipelines.loop.recipe import settings_for
from pipelines.loop.record import WEIGHTS
from pipelines.train import train

RECIPE = "recipe.json"
RANGES = "int8.json"
"""Beside the weights that they belong to."""
Trainer = Callable[..., Path]


def train_candidate(plan: Plan, snapshot: Snapshot, *, trainer: Trainer = train) -> Path:
    """The trained weights. Raises FloatingPointError when the loss is no number, BadInput for data that
    nothing can be learned from and for settings that do not exist.
    """
    recipe = plan.run / RECIPE
    if not recipe.is_file():
        write_json(recipe, settings_for(plan, data_of(snapshot), held_out_of(snapshot)))
    try:
        return trainer(
            plan.algorithm,
            data=snapshot.folder,
            out=plan.run,
            config=recipe,
            trunk=Path(plan.trunk) if plan.trunk and not plan.start_from else None,
            start_from=Path(plan.start_from) if plan.start_from else None,
            device=plan.device,
            tune=True,
        )
    except BadInput as error:
        if isinstance(error.__cause__, FloatingPointError):
            raise FloatingPointError(str(error)) from error
        raise


def measure_ranges(plan: Plan, snapshot: Snapshot) -> None:
    """What eight bits need to know of the candidate, where this installation serves in eight bits: without it
    the version could not be served here. Measured on clips that trained."""
    weights = plan.run / WEIGHTS
    ranges = weights.with_name(RANGES)
    if plan.algorithm == "video_object" and not ranges.is_file():
        from pipelines.quantise import quantise

        clips = sorted(n for n, clip in snapshot.manifest["clips"].items() if clip["split"] == "train")
        there = [name for name in clips if (snapshot.folder / "Annotations" / name).is_dir()]
        quantise(plan.algorithm, data=snapshot.folder, sequences=there, weights=weights, out=ranges)


def register(
    registry: Registry,
    plan: Plan,
    weights: Path,
    *,
    digest: str,
    started_from: str,
    more: Mapping[str, Any] | None = None,
) -> Served:
    """The weights as a version that can be promoted; its card says where it came from."""
    card = {
        "project": plan.project,
        "snapshot": digest,
        "run": str(plan.run),
        "seed": plan.seed,
        "started_from": started_from or "an ImageNet trunk",
        "code": code_revision(),
        **(more or {}),
        "training": read_json(plan.run / "card.json"),
    }
    made = registry.add(plan.algorithm, weights, card)
    if (ranges := weights.with_name(RANGES)).is_file():
        write_bytes(made.weights.with_name(RANGES), ranges.read_bytes())
    return made


def held_out_of(snapshot: Snapshot) -> list[str]:
    """The clips that are never trained on."""
    return [str(name) for name in snapshot.manifest.get("held_out", ())]
