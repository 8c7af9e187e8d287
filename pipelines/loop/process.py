"""``python -m pipelines.loop.process``: one cycle of a project, for the job that a training worker was given.

The worker watches this process and never trains itself. Progress and end are written into the ledger here;
what a killed process could not write, the worker writes.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from backends.core.errors import Cancelled, MaskLoopError, Superseded
from backends.ledger import JobRow, Ledger
from backends.notices import Notices
from backends.settings import Settings, from_env
from pipelines.working.parent import end_with_parent

log = logging.getLogger(__name__)

NICE = 10
"""Everything else on the machine goes before a training."""
_OOM_SCORE = "500"  # where memory runs out, the training is what the system ends first
REPORT_EVERY_S = 0.25


class Report:
    """The cycle's progress into the ledger: ``report(done, total, stage)``, as often as one likes.

    Raises Cancelled when a person pressed Cancel, Superseded when another process has the job by now.
    """

    def __init__(self, ledger: Ledger, row: JobRow) -> None:
        self._ledger, self._row = ledger, row
        self._last: tuple[int, str] = (-1, "")  # total and stage
        self._at = float("-inf")

    def __call__(self, done: int, total: int, stage: str) -> None:
        now, total = time.monotonic(), max(1, total)  # a total that nobody knows yet
        if (total, stage) == self._last and done < total and now - self._at < REPORT_EVERY_S:
            return
        self._last, self._at = (total, stage), now
        state = self._ledger.put_progress(self._row.id, self._row.generation, done, total, stage)
        if state == "cancelling":
            raise Cancelled(f"job {self._row.id} was cancelled")


Cycle = Callable[[JobRow, Settings, Report], str]
"""Goes through it, on from where an earlier process was killed; returns in one sentence what came of it."""


def queued(row: JobRow, settings: Settings, report: Report) -> str:
    """The real cycle."""
    from pipelines.loop.queued import run

    return run(row, settings, report)


def main(argv: Sequence[str] | None = None, cycle: Cycle = queued) -> int:
    """Run the cycle of the job that ``argv`` names; returns the exit code."""
    asked = _arguments(argv)
    end_with_parent(asked.parent)
    _give_way()
    settings = from_env()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    ledger = Ledger(settings.ledger_path)
    try:
        row = ledger.job(asked.job)
        if (row.generation, row.state) != (asked.generation, "running"):
            log.info("job %s is %s, generation %d: nothing to do", row.id, row.state, row.generation)
            return 0
        return _carry_out(row, settings, ledger, cycle)
    except Superseded as error:
        log.warning("%s; it goes on elsewhere", error)
        return 0
    except MaskLoopError as error:
        log.error("%s", error)
        return 1
    finally:
        ledger.close()


def _carry_out(row: JobRow, settings: Settings, ledger: Ledger, cycle: Cycle) -> int:
    tell = Notices(settings.ledger_path).add
    try:
        outcome = cycle(row, settings, Report(ledger, row))
    except Superseded:
        raise
    except (Cancelled, KeyboardInterrupt):
        _leave(row, ledger)
        return 130
    except Exception as error:
        words = in_words(error, row)
        log.error("%s", words, exc_info=None if isinstance(error, MaskLoopError) else error)
        ledger.fail(row.id, row.generation, words)
        tell("error", f"Project {row.project_id}: no better model was made: {words}.")
        return 1
    total = ledger.job(row.id).total
    with suppress(Cancelled):  # too late to cancel
        Report(ledger, row)(total, total, outcome)
    ledger.finish(row.id, row.generation, 0.0)
    tell("info", f"Project {row.project_id}: {outcome.rstrip('.')}.")
    return 0


def _leave(row: JobRow, ledger: Ledger) -> None:
    """Asked to end: by a person, or because the worker stops."""
    if ledger.is_cancel_requested(row.id):
        ledger.finish_cancelled(row.id, row.generation, 0.0)
    else:
        ledger.give_back(row.id, row.generation)


def in_words(error: Exception, row: JobRow) -> str:
    """What went wrong, for people, and what would help."""
    if isinstance(error, MaskLoopError):
        return str(error)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return (
            f"out of memory ({str(error).splitlines()[0] if str(error) else 'the system gave no more'}); ask "
            f"for less at once: `maskloop policy --project {row.project_id} --set training.batch=1`"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" while writing {error.filename}" if error.filename else ""
        return f"the disk is full{where}; free some space, then press Retry: it goes on from there"
    return f"unexpected {type(error).__name__}: {error}; the training's log has the details"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipelines.loop.process", description=__doc__)
    parser.add_argument("--project", type=int, help="for people who look at the list of processes")
    parser.add_argument("--job", required=True)
    parser.add_argument("--generation", type=int, required=True)
    parser.add_argument("--parent", type=int, help="the process that started this one")
    return parser.parse_args(argv)


def _give_way() -> None:
    with suppress(OSError):
        os.nice(NICE)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)


if __name__ == "__main__":
    sys.exit(main())
