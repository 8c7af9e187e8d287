"""``maskloop train weak_shot --project P``: snapshot, run folder, version.

A run belongs to one snapshot. While a run of the project is unfinished, the same command goes on with it and
with *its* snapshot, however much was annotated since; a new snapshot is taken when there is none, or afresh.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput, SetupFault
from backends.loop.folder import ProjectFolder
from backends.registry import Registry
from backends.settings import Settings
from pipelines.export.snapshot import Snapshot, open_snapshot
from pipelines.export.sources import opened
from pipelines.export.tasks import Say, tell_notes, unsubmitted
from pipelines.progress import Track, quiet
from pipelines.train import read_config, train
from pipelines.weak_shot_project import folder
from pipelines.weak_shot_project.classes import Enough, decide
from pipelines.weak_shot_project.reading import read_project
from pipelines.weak_shot_project.snapshot import write_snapshot

ALGORITHM = "weak_shot"
FEW_BASE_PHOTOS = 100
"""With fewer photos the shipped boundary and affinity networks know more than what could be learned."""


@dataclass(frozen=True)
class Wishes:
    """How to train; what is not given comes from the project and the installation."""

    out: Path | None = None
    config: Path | None = None
    overrides: Sequence[str] = ()
    trunk: Path | None = None
    start_from: Path | None = None
    device: str = "cpu"
    novel: Sequence[str] = ()
    enough: Enough = field(default_factory=Enough)
    fresh: bool = False


@dataclass(frozen=True)
class Outcome:
    """A finished run, registered and not yet served."""

    run: Path
    weights: Path
    snapshot: Snapshot
    version: str


def train_project(
    project_id: int,
    settings: Settings,
    wishes: Wishes,
    *,
    progress: Track = quiet,
    say: Say = print,
    trainer: Callable[..., Path] = train,
) -> Outcome:
    """Train on project ``project_id``, or go on with its unfinished run; the result becomes a version.

    ``say`` gets sentences for people. Raises TooLittle with counts, BadInput for a project that cannot be
    used and for an edited snapshot, Unavailable while another process trains the same project or Label Studio
    is away. Whatever ends it, the same call goes on where it was.
    """
    runs = settings.data_dir / "runs" / ALGORITHM
    with ProjectFolder(settings.data_dir, project_id).alone():
        run = None if wishes.fresh else folder.unfinished(runs, project_id, wishes.out)
        if run is not None:
            say(f"going on with {run} and its snapshot; --fresh reads the project again")
            taken = _snapshots(settings) / str(folder.told_of(run)["snapshot"])
            snapshot = open_snapshot(taken, progress=progress)
            _refuse_other_classes(snapshot, wishes.novel)
        else:
            snapshot = take_snapshot(project_id, settings, wishes, progress=progress, say=say)
            run = wishes.out or runs / f"project-{project_id}-{snapshot.digest[:12]}"
            folder.claim(run, project_id, snapshot.digest, wishes.fresh)
        weights = trainer(
            ALGORITHM,
            data=snapshot.folder,
            out=run,
            config=wishes.config,
            overrides=wishes.overrides,
            trunk=wishes.trunk,
            start_from=wishes.start_from or _to_begin_with(snapshot, settings, wishes, say),
            device=wishes.device,
        )
        version = _register(settings, project_id, snapshot, run, weights)
        return Outcome(run, weights, snapshot, version)


def take_snapshot(
    project_id: int, settings: Settings, wishes: Wishes, *, progress: Track = quiet, say: Say = print
) -> Snapshot:
    """Read the project, decide on its classes, freeze it; says what was counted and what was left out."""
    with opened(settings) as sources:
        reading = read_project(
            sources.client,
            project_id,
            sources.files,
            machine=sources.machine,
            proposals=sources.proposals,
            max_pixels=sources.max_pixels,
            progress=progress,
        )
        tell_notes([*reading.notes, unsubmitted(sources.client, project_id)], say)
    decision = decide(reading.photos, reading.class_names, wishes.enough, wishes.novel)
    for name, count in decision.counts.items():
        say(f"{decision.roles[name]:>8}  {name}: {count}")
    for line in decision.notes:
        say(f"note: {line}")
    snapshot = write_snapshot(reading, decision, _snapshots(settings), progress=progress)
    say(f"snapshot: {snapshot.folder}")
    return snapshot


def _to_begin_with(snapshot: Snapshot, settings: Settings, wishes: Wishes, say: Say) -> Path | None:
    """The shipped boundary and affinity networks, where the project has few masks to learn its own from."""
    base_photos = int(snapshot.manifest.get("base_photos", 0))
    try:
        shipped = Registry(settings.models_dir).shipped(ALGORITHM).weights
    except SetupFault:
        return None
    if base_photos >= FEW_BASE_PHOTOS or not _fits(shipped, wishes):
        return None
    say(f"{base_photos} base photos are few: boundary and affinity networks are the shipped ones")
    return shipped


def _fits(shipped: Path, wishes: Wishes) -> bool:
    """Whether the shipped networks stand on the trunk that the configuration wants."""
    from backends.weak_shot.recipe import config_from  # torch; it is wanted next anyway
    from backends.weak_shot.weights_file import load

    return load(shipped).trunk == config_from(read_config(wishes.config, wishes.overrides)).trunk


def _refuse_other_classes(snapshot: Snapshot, novel: Sequence[str]) -> None:
    """What was novel when the snapshot was taken stays so."""
    roles = {name: told["role"] for name, told in snapshot.manifest["classes"].items()}
    if other := [name for name in novel if roles.get(name) != "novel"]:
        raise BadInput(
            f"the unfinished run has other novel classes, without {', '.join(other)}; "
            "--fresh begins anew with those of --novel"
        )


def _register(settings: Settings, project_id: int, snapshot: Snapshot, run: Path, weights: Path) -> str:
    card: Mapping[str, Any] = {
        "project": project_id,
        "snapshot": snapshot.digest,
        "run": str(run.resolve()),
        "training": _json(run / "card.json"),
    }
    version = Registry(settings.models_dir).add(ALGORITHM, weights, card).version
    folder.finish(run, version)
    return version


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _snapshots(settings: Settings) -> Path:
    return settings.data_dir / "snapshots"
