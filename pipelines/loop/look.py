"""What a cycle would do, in sentences, with nothing trained: ``maskloop improve --dry-run``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from backends.loop.folder import ProjectFolder
from backends.loop.policy import Policy
from backends.settings import Settings
from pipelines.export.snapshot import Snapshot
from pipelines.export.take import take_snapshot
from pipelines.loop.begin import Beginning, served_to
from pipelines.loop.gate import enough
from pipelines.loop.plan import Plan, data_of
from pipelines.loop.recipe import settings_for, steps_of
from pipelines.progress import Track, quiet

Say = Callable[[str], None]


def look(
    project_id: int,
    settings: Settings,
    policy: Policy,
    *,
    say: Say = print,
    progress: Track = quiet,
    take: Callable[..., Snapshot] = take_snapshot,
) -> Iterator[str]:
    """Sentences. A snapshot is taken, which freezes the held-out list; raises what taking one raises."""
    folder = ProjectFolder(settings.data_dir.resolve(), project_id)
    beginning = Beginning(folder, settings, policy)
    if (run := beginning.unfinished(say)) is not None:
        yield f"would go on with run {run.name}"
        return
    snapshot = take(project_id, settings, progress=progress, say=say)
    if (known := beginning.known(snapshot)) is not None:
        yield f"would do nothing: nothing is new since run {known.name} ({known.outcome})"
        return
    data, algorithm = data_of(snapshot), str(snapshot.manifest["kind"])
    decision = enough(data, policy)
    yield from decision.reasons
    if not decision.accepted:
        yield f"would train nothing: {decision.against[0]}"
        return
    served = served_to(settings, algorithm, project_id)
    start = str(served.weights) if served else ""
    plan = Plan(
        folder.runs, project_id, algorithm, snapshot.folder, policy.seed, start, training=policy.training
    )
    steps = steps_of(settings_for(plan, data, []), algorithm, tuned=bool(start))
    begun = served.version if served else policy.trunk or "nothing, which is refused: name a trunk"
    yield f"would train {algorithm} for {steps} steps, starting from {begun}"
    yield (
        f"would score both on the held-out {data.unit}s, and serve the candidate if it is better by "
        f"{policy.min_gain:g} points and no class loses more than {policy.max_class_loss:g}"
        + (" (after a person's yes)" if policy.promote == "ask" else "")
    )
