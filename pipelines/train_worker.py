"""``python -m pipelines.train_worker``: the worker for trainings, one at a time, each a process of its own.

It needs little memory until it trains and never imports torch. More than one may run: the ledger sees to it
that a project is trained once at a time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from backends.ledger import Ledger
from backends.notices import Notices
from backends.queues import TRAIN
from backends.settings import Settings
from pipelines.trainings import TrainingWork, functions
from pipelines.working.life import live

Builder = Callable[[Settings, Ledger, str], TrainingWork]


def build(settings: Settings, ledger: Ledger, worker: str) -> TrainingWork:
    """The real collaborators."""
    return TrainingWork(ledger, worker, settings, Notices(settings.ledger_path).add)


def main(argv: Sequence[str] | None = None, build_work: Builder = build) -> int:
    """Run a worker from the environment's settings; returns the exit code."""
    return live(argv, (TRAIN,), build_work, functions, may_stall=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
