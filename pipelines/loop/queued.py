"""A cycle that was asked for by the queue: its turn is awaited, marks are left, the report is made anew.

The cycle itself (``cycle``) knows nothing of queues; a person at the command line starts the same one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

from backends.core.errors import Unavailable
from backends.labelstudio.client import LabelStudioClient
from backends.ledger import JobRow
from backends.loop.corrections import leave_marks, read_marks
from backends.loop.folder import ProjectFolder
from backends.notices import Notices
from backends.settings import Settings
from pipelines.export.snapshot import Snapshot
from pipelines.export.take import take_snapshot
from pipelines.loop.cycle import Outcome, Wishes, improve, in_a_sentence
from pipelines.loop.report import refresh
from pipelines.openings import open_with_served
from pipelines.progress import Track, quiet

log = logging.getLogger(__name__)

TURN_S = 120.0
"""How long a run waits for one of the same project that is ending elsewhere."""

_LOOK_EVERY_S = 0.5

Report = Callable[[int, int, str], None]


def run(row: JobRow, settings: Settings, report: Report) -> str:
    """Go through the job's cycle; returns in a sentence what came of it. Raises what ``improve`` does.

    Where a run of an earlier job was left unfinished, that one is ended first: it knows nothing of the work
    that this job was asked for, so another one follows.
    """
    folder = ProjectFolder(settings.data_dir.resolve(), row.project_id)
    wishes = Wishes(why=str(row.payload.get("reason") or "the queue"))
    _await_turn(folder, report)
    go = partial(
        improve,
        row.project_id,
        settings,
        wishes,
        report=report,
        say=log.info,
        take=partial(take_marked, row.id),
    )
    outcomes = [go()]
    if not _took(folder, row.id):
        log.info("what was unfinished has ended: %s", in_a_sentence(outcomes[0]))
        outcomes.append(go())
    for note in [note for outcome in outcomes for note in opened(outcome, settings)]:
        Notices(settings.ledger_path).add("warning", f"{note[:1].upper()}{note[1:]}.")
    report(1, 1, "making the report")
    if trouble := refresh(row.project_id, settings):
        log.warning("%s", trouble)
    return in_a_sentence(next((one for one in reversed(outcomes) if one.is_new), outcomes[0]))


def opened(outcome: Outcome, settings: Settings) -> list[str]:
    """Let tasks open with what was promoted; notes for people where Label Studio could not be told."""
    cycle = outcome.cycle
    if not outcome.is_new or cycle.outcome != "promoted":
        return []
    return open_with_served(settings, cycle.algorithm, cycle.project)


def take_marked(
    job: str,
    project_id: int,
    settings: Settings,
    *,
    progress: Track = quiet,
    say: Callable[[str], None] = log.info,
) -> Snapshot:
    """A snapshot, after marking what is submitted as known to ``job``.

    What is submitted between the two counts as new once more; nothing that is in no snapshot counts as known.
    """
    client = LabelStudioClient(settings.label_studio_url, settings.label_studio_token)
    leave_marks(ProjectFolder(settings.data_dir.resolve(), project_id), client, job, is_begun=True)
    return take_snapshot(project_id, settings, progress=progress, say=say)


def _took(folder: ProjectFolder, job: str) -> bool:
    marks = read_marks(folder)
    return marks.job == job and marks.is_begun


def _await_turn(folder: ProjectFolder, report: Report) -> None:
    """A process that was given up for dead may still be ending, and another may train by hand."""
    deadline = time.monotonic() + TURN_S
    while True:
        try:
            with folder.alone():
                return
        except Unavailable:
            if time.monotonic() > deadline:
                raise
        report(0, 1, "waiting for another run of this project to end")
        time.sleep(_LOOK_EVERY_S)
