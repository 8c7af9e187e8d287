"""``maskloop train video_object --project P`` (or video_semantic): snapshot, run, version; nothing is judged.

A run belongs to one snapshot. While a run of the project is unfinished, the same command goes on with it and
with *its* snapshot, however much was annotated since.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from backends.core.errors import BadInput
from backends.labelstudio.label_config import LabelConfig
from backends.loop.files import read_json
from backends.loop.folder import ProjectFolder
from backends.registry import Registry
from backends.settings import Settings
from pipelines.export.project import kind_of
from pipelines.export.snapshot import Snapshot, open_snapshot
from pipelines.export.sources import opened
from pipelines.export.take import take_snapshot
from pipelines.loop.begin import served_to
from pipelines.loop.candidate import RECIPE, held_out_of, register, train_candidate
from pipelines.loop.plan import PLAN, Plan, data_of
from pipelines.loop.recipe import settings_for
from pipelines.progress import Track, quiet
from pipelines.train import DOWNLOAD, read_config, train
from pipelines.weak_shot_project import folder
from pipelines.weak_shot_project.run import Outcome, Wishes

Say = Callable[[str], None]


def kind_of_project(project_id: int, settings: Settings) -> str:
    """The algorithm that a project's configuration is for. Raises BadLabelConfig, Unavailable, BadInput."""
    with opened(settings) as sources:
        project = sources.client.project(project_id)
    return kind_of(LabelConfig.parse(str(project.get("label_config") or "")))


def train_project(
    algorithm: str,
    project_id: int,
    settings: Settings,
    wishes: Wishes,
    *,
    progress: Track = quiet,
    say: Say = print,
    take: Callable[..., Snapshot] = take_snapshot,
    kind: Callable[[int, Settings], str] = kind_of_project,
    trainer: Callable[..., Path] = train,
) -> Outcome:
    """Train on project ``project_id``, or go on with its unfinished run; the result becomes a version.

    It begins with ``wishes.start_from``, else an explicit trunk, else the version that the project is served,
    else the published trunk. Raises TooLittle and BadInput for a project that cannot be used or is of another
    kind, Unavailable while another process trains it or Label Studio is away.
    """
    runs = settings.data_dir.resolve() / "runs" / algorithm
    with ProjectFolder(settings.data_dir, project_id).alone():
        run = None if wishes.fresh else folder.unfinished(runs, project_id, wishes.out)
        if run is not None and (run / PLAN).is_file():
            say(f"going on with {run} and its snapshot; --fresh reads the project again")
            plan = Plan.read(run)
            snapshot = open_snapshot(plan.snapshot, progress=progress)
            _refuse_other_settings(plan, snapshot, wishes)
        else:
            if (other := kind(project_id, settings)) != algorithm:
                raise BadInput(
                    f"project {project_id} is one of {other}: `maskloop train {other} --project {project_id}`"
                )
            snapshot = take(project_id, settings, progress=progress, say=say)
            _refuse_nothing(snapshot, project_id)
            run = (wishes.out or runs / f"project-{project_id}-{snapshot.digest[:12]}").resolve()
            folder.claim(run, project_id, snapshot.digest, wishes.fresh)
            plan = _plan(algorithm, project_id, run, snapshot, settings, wishes)
            plan.write()
        say(f"starting from {_started_from(plan)}")
        try:
            weights = train_candidate(plan, snapshot, trainer=trainer)
        except FloatingPointError as error:
            raise BadInput(f"{error}; a lower learning_rate may help") from error
        registry = Registry(settings.models_dir.resolve())
        made = register(registry, plan, weights, digest=snapshot.digest, started_from=_started_from(plan))
        folder.finish(run, made.version)
        return Outcome(run, weights, snapshot, made.version)


def _refuse_nothing(snapshot: Snapshot, project_id: int) -> None:
    data = data_of(snapshot)
    if not data.train_clips:
        raise BadInput(
            f"project {project_id}: all {data.held_out_clips} labelled clips are held out; label another "
            "video"
        )


def _plan(
    algorithm: str, project_id: int, run: Path, snapshot: Snapshot, settings: Settings, wishes: Wishes
) -> Plan:
    served = served_to(settings, algorithm, project_id)
    begun = wishes.start_from or (served.weights if served and wishes.trunk is None else None)
    training = read_config(wishes.config, wishes.overrides)
    return Plan(
        run,
        project_id,
        algorithm,
        snapshot.folder.resolve(),
        int(training.get("seed", 0)),
        str(begun.resolve()) if begun else "",
        trunk=str(wishes.trunk or DOWNLOAD),
        device=wishes.device,
        training=training,
    )


def _refuse_other_settings(plan: Plan, snapshot: Snapshot, wishes: Wishes) -> None:
    """What was asked for when the run began stays so."""
    if plan.training != read_config(wishes.config, wishes.overrides):
        raise BadInput(f"{plan.run} is unfinished and has other settings; --fresh begins anew with these")
    made = settings_for(plan, data_of(snapshot), held_out_of(snapshot))
    if (told := read_json(plan.run / RECIPE)) and dict(told) != made:
        raise BadInput(f"{plan.run} was begun by a release with another recipe; --fresh begins anew")


def _started_from(plan: Plan) -> str:
    """For people and for the card."""
    from backends.registry import version_of

    return version_of(plan.algorithm, Path(plan.start_from)) if plan.start_from else f"the trunk {plan.trunk}"
