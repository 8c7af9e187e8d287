"""What a ticket of the queue for trainings names: one cycle of a project, in a process of its own.

That process writes its progress and its end into the ledger (``pipelines.loop.process``). Here it is watched:
asked to end when a person cancels or the worker stops, killed when it hangs, and its death put into words.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from backends.core.errors import MaskLoopError, Superseded
from backends.ledger import JobRow, Ledger
from backends.settings import Settings, inherited, to_env
from pipelines.services.supervisor import python_argv
from pipelines.working.life import Work
from pipelines.working.training_process import TrainingProcess

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
CANCEL_PATIENCE_S = 90.0
"""How long a cancelled training may take to write its checkpoint before it is killed."""
STOP_PATIENCE_S = 8.0
"""The same when the worker itself is told to stop: its supervisor waits a little longer."""
FAREWELL_PATIENCE_S = 30.0
"""How long a training may live on after it has written its end into the ledger."""
KEEP_LOGS_S = 30 * 24 * 3600.0

_ROOT = Path(__file__).parents[1]


def process_command(row: JobRow) -> tuple[str, ...]:
    """The process of a job; it gets numbers of ours only."""
    return python_argv("pipelines.loop.process", *process_arguments(row))


def process_arguments(row: JobRow) -> tuple[str, ...]:
    """Which job, whose generation it is, and who watches."""
    project, generation, parent = str(row.project_id), str(row.generation), str(os.getpid())
    return ("--project", project, "--job", row.id, "--generation", generation, "--parent", parent)


@dataclass
class TrainingWork(Work):
    """What the jobs of a training worker work with."""

    ledger: Ledger
    worker: str
    """This worker's name in the ledger."""
    settings: Settings
    tell: Callable[[str, str], None]
    """(level, words) for the console; never raises."""
    command: Callable[[JobRow], Sequence[str]] = field(default=process_command)
    warm: Callable[[], str] = field(default=lambda: "", kw_only=True)


def functions(work: TrainingWork) -> Mapping[str, Callable[..., None]]:
    """The dotted names a ticket may hold, bound to what they work with. Anything else is refused."""
    return {"pipelines.trainings.improve": partial(improve, work)}


def improve(work: TrainingWork, job_id: str, generation: int) -> None:
    """Run a project's cycle and see it end. A stale ticket does nothing."""
    row = work.ledger.start(job_id, generation, work.worker)
    if row is None:
        log.info("job %s: ticket of generation %d is not wanted any more", job_id, generation)
        return
    env = inherited() | to_env(work.settings) | {"PYTHONUNBUFFERED": "1"}
    try:
        with TrainingProcess(work.command(row), env, _ROOT, log_of(work.settings, job_id)) as process:
            log.info("job %s: project %d, process %d", job_id, row.project_id, process.pid)
            _Watch(work, row, process).until_it_ends()
    except MaskLoopError as error:
        _fail(work, row, str(error))
    except BaseException:  # a second Ctrl-C: the job must not look as if it still ran
        with suppress(Superseded):
            work.ledger.give_back(job_id, generation)
        raise


def log_of(settings: Settings, job_id: str) -> Path:
    """Where a job's process writes; old ones are forgotten."""
    folder = settings.data_dir.resolve() / "logs" / "trainings"
    with suppress(OSError):
        for old in folder.glob("*.log"):
            if old.stat().st_mtime < time.time() - KEEP_LOGS_S:
                old.unlink()
    return folder / f"{job_id[:12]}.log"


@dataclass
class _Watch:
    """The eye on one process."""

    work: TrainingWork
    row: JobRow
    process: TrainingProcess
    why: str = ""
    """Why we ended it ourselves, in words."""

    def until_it_ends(self) -> None:
        """Return when it is gone and the ledger says how."""
        while (code := self.process.ended(LOOK_EVERY_S)) is None:
            try:
                self._look(self.work.ledger.job(self.row.id))
            except MaskLoopError as error:  # a ledger that is locked for a moment must not end a training
                log.warning("job %s cannot be looked at: %s", self.row.id, error)
        with suppress(Superseded):
            self._note(code)

    def _look(self, row: JobRow) -> None:
        if row.generation != self.row.generation:
            log.info("job %s is %s: this run of it ends", row.id, row.state)
            self.process.kill()
        elif row.state == "cancelling":
            self.process.end(CANCEL_PATIENCE_S)
        elif row.state != "running":
            self._await_farewell(row)
        elif self.work.stopping():
            self.process.end(STOP_PATIENCE_S)
        elif self.process.silent_s(row.stamped_at or 0.0) > self.work.settings.stall_s:
            self.why = (
                f"no sign of life for {self.work.settings.stall_s:g} s at {row.stage!r}, after step "
                f"{row.done} of {row.total}"
            )
            self.process.kill()

    def _await_farewell(self, row: JobRow) -> None:
        if time.time() - (row.finished_at or 0.0) > FAREWELL_PATIENCE_S:
            self.process.kill()

    def _note(self, code: int) -> None:
        """Write what the process left unsaid."""
        work, row = self.work, self.work.ledger.job(self.row.id)
        if row.generation != self.row.generation or row.state not in ("running", "cancelling"):
            return
        if row.state == "cancelling":
            work.ledger.finish_cancelled(row.id, row.generation, 0.0)
        elif self.why:
            _fail(work, row, self.why)
        elif work.stopping():
            work.ledger.give_back(row.id, row.generation)
        elif code in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT):
            self._killed(row)
        else:
            how = f"crashed ({_name(-code)})" if code < 0 else f"ended with status {code}"
            said = self.process.last_line()
            words = f"the training's process {how} at {row.stage or 'its start'!r}"
            _fail(work, row, f"{words}; the last line of {self.process.log}: {said or '(empty)'}")

    def _killed(self, row: JobRow) -> None:
        if self.process.memory_ran_out():
            _fail(
                self.work,
                row,
                f"out of memory at {row.stage or 'its start'!r}, after step {row.done} of {row.total}: the "
                "system ended the training. Give the machine more memory or ask for less at once "
                f"(`maskloop policy --project {row.project_id} --set training.batch=1`), then press Retry",
            )
            return
        now = self.work.ledger.rescue(row.id, row.generation)
        if now.state == "failed":
            self.work.tell("error", f"Project {row.project_id}: {now.error}.")
        else:
            log.warning("job %s: its process was killed; it goes on from what is kept", row.id)


def _fail(work: TrainingWork, row: JobRow, words: str) -> None:
    try:
        work.ledger.fail(row.id, row.generation, words)
    except Superseded as error:
        log.warning("%s; it goes on elsewhere", error)
        return
    work.tell("error", f"Project {row.project_id}: no better model was made: {words}.")


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
