"""``python -m pipelines.loop.child RUN``: the part of a cycle that needs torch, in a process of its own.

It trains what the run's plan says and scores candidate and served version. Whatever happens to it (memory,
a full disk, a signal), the cycle that started it lives on and says what it was. Progress and trouble go out
as JSON lines on standard output; everything else, training bars too, goes to standard error.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from backends.core.errors import BadInput, MaskLoopError, SetupFault, Unavailable
from backends.registry import version_of
from backends.settings import from_env
from pipelines.export.snapshot import open_snapshot
from pipelines.loop.candidate import measure_ranges, train_candidate
from pipelines.loop.examples import Examples, write_index
from pipelines.loop.plan import Plan
from pipelines.loop.record import WEIGHTS, write_scores
from pipelines.loop.scores import nothing_served
from pipelines.working.parent import end_with_parent

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")
_PAUSE = 8  # frames between two lines of progress

T = TypeVar("T")


def main(argv: Sequence[str]) -> int:
    """0 when the run has weights and scores; else a line with ``trouble`` was written."""
    run = Path(argv[0])
    end_with_parent(int(argv[1]) if len(argv) > 1 else None)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a checkpoint is written on the way out
    try:
        carry_out(Plan.read(run))
        return 0
    except KeyboardInterrupt:
        return 130
    except BaseException as error:
        traceback.print_exc()
        _tell(trouble=kind_of(error), text=_text(error))
        return 1


def carry_out(plan: Plan) -> None:
    """Train where there are no weights yet, score where there are no scores yet."""
    from pipelines.loop.scoring import Judge

    snapshot = open_snapshot(plan.snapshot)
    weights = plan.run / WEIGHTS
    if not (weights.is_file() and weights.with_name("card.json").is_file()):  # the card comes last
        train_candidate(plan, snapshot)
    settings = from_env()
    if settings.engine == "int8":
        measure_ranges(plan, snapshot)
    judge = Judge(snapshot, settings, plan.benchmark)
    folder = plan.run / "examples"
    mine = Examples(folder, "candidate")
    candidate = judge.score(
        weights, version_of(plan.algorithm, weights), examples=mine, progress=_Lines("scoring the candidate")
    )
    parts = [mine]
    served = nothing_served(candidate)
    if plan.served:
        parts.append(Examples(folder, "served"))
        path = Path(plan.served)
        served = judge.score(
            path,
            version_of(plan.algorithm, path),
            examples=parts[1],
            progress=_Lines("scoring the served version"),
        )
    write_index(folder, *parts)
    write_scores(plan.run, candidate, served)


def kind_of(error: BaseException) -> str:
    """``nonsense``, ``memory``, ``disk``, ``input``, ``setup``, ``outside`` or ``fault``."""
    words = str(error).lower()
    if isinstance(error, FloatingPointError):
        return "nonsense"
    if isinstance(error, MemoryError) or any(said in words for said in _NO_MEMORY):
        return "memory"
    full = isinstance(error, OSError) and error.errno in _FULL
    if full or any(f"os error {number}" in words for number in _FULL):  # safetensors says it in words
        return "disk"
    known = ((BadInput, "input"), (Unavailable, "outside"), ((SetupFault, MaskLoopError), "setup"))
    return next((name for kinds, name in known if isinstance(error, kinds)), "fault")


def _text(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or 'the system'}: {error.strerror or error}"
    if isinstance(error, (MaskLoopError, FloatingPointError)):
        return str(error)
    return f"{type(error).__name__}: {error}"


class _Lines:
    """Progress of scoring as lines; stands where a Track stands."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.done = self.total = 0

    def __call__(self, items: Iterable[T], *, total: int | None, label: str) -> Iterator[T]:
        self.total += total or 0
        for item in items:
            yield item
            self.done += 1
            if self.done % _PAUSE == 0:
                _tell(stage=self.stage, done=self.done, total=self.total)


def _tell(**line: Any) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)  # threads of the libraries must not keep the memory
