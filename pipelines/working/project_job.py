"""One run of a job about a whole project: its progress in the ledger, a way to stop, and how it ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from backends.core.errors import Cancelled, MaskLoopError, Superseded
from backends.ledger import JobRow, Ledger
from pipelines.progress import Track
from pipelines.working.collaborators import Collaborators

log = logging.getLogger(__name__)

T = TypeVar("T")

_LOOK_EVERY_S = 0.5


def carry_out(
    work: Collaborators,
    job_id: str,
    generation: int,
    do: Callable[[JobRow, Track], str],
    *,
    between: str = "",
) -> None:
    """``do`` the job; what it returns says for people what came of it. A stale ticket does nothing.

    ``between`` is shown after each series of items until the next begins. Nothing is raised for a job that
    went wrong: the ledger gets the sentence, the log the rest.
    """
    row = work.ledger.start(job_id, generation, work.worker)
    if row is None:
        log.info("job %s: ticket of generation %d is not wanted any more", job_id, generation)
        return
    watch = _Watch(work, row, between)
    try:
        watch.end(do(row, watch))
    except Superseded as error:
        log.warning("%s; it goes on elsewhere", error)
    except _Stopping:
        work.ledger.give_back(job_id, generation)
    except Cancelled:
        work.ledger.finish_cancelled(job_id, generation, 0.0)
    except MaskLoopError as error:
        _fail(work.ledger, row, str(error))
    except Exception as error:
        log.exception("job %s failed", job_id)
        _fail(
            work.ledger, row, f"unexpected {type(error).__name__}: {error}; the worker's log has the details"
        )
    except BaseException:  # a second Ctrl-C: the job must not look as if it still ran
        work.ledger.give_back(job_id, generation)
        raise


class _Stopping(Exception):  # noqa: N818 - never leaves this module
    """The worker was asked to stop."""


@dataclass
class _Watch:
    """Passes items through, and looks up twice a second whether anybody wants it to stop."""

    work: Collaborators
    row: JobRow
    between: str
    looked_at: float = float("-inf")

    def __call__(self, items: Iterable[T], *, total: int | None, label: str) -> Iterator[T]:
        """A ``Track``. Raises Cancelled or Superseded."""
        done = 0
        for done, item in enumerate(items, start=1):
            self._look(done - 1, total or done, label)
            yield item
        self._say(done, total or done, self.between or label)

    def end(self, outcome: str) -> None:
        """It is done; whoever cancels now is too late."""
        row = self.work.ledger.job(self.row.id)
        self.work.ledger.put_progress(row.id, row.generation, row.total, row.total, outcome)
        self.work.ledger.finish(row.id, row.generation, 0.0)

    def _look(self, done: int, total: int, stage: str) -> None:
        if self.work.stopping():
            raise _Stopping
        if time.monotonic() - self.looked_at >= _LOOK_EVERY_S:
            self._say(done, total, stage)

    def _say(self, done: int, total: int, stage: str) -> None:
        self.looked_at = time.monotonic()
        state = self.work.ledger.put_progress(self.row.id, self.row.generation, done, total, stage)
        if state == "cancelling":
            raise Cancelled(f"job {self.row.id} was cancelled")


def _fail(ledger: Ledger, row: JobRow, words: str) -> None:
    try:
        ledger.fail(row.id, row.generation, words)
    except Superseded as error:
        log.warning("%s; it goes on elsewhere", error)
