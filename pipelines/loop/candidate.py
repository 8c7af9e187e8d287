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
from pipelines.export.snapshot import Snapshot
from pipelines.loop.plan import Plan, code_revision, data_of
from pipelines.loop.recipe import settings_for
from pipelines.train import train

RECIPE = "recipe.json"
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
    return registry.add(plan.algorithm, weights, card)


def held_out_of(snapshot: Snapshot) -> list[str]:
    """The clips that are never trained on."""
    return [str(name) for name in snapshot.manifest.get("held_out", ())]
