"""``python -m pipelines.worker``: one warm worker until it is told to stop.

It answers clicks and carries masks over clips; trainings have a worker of their own (``train_worker``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from backends.ledger import Ledger
from backends.queues import WARM_QUEUES
from backends.settings import Settings
from pipelines.jobs import functions
from pipelines.working.collaborators import Collaborators, build
from pipelines.working.life import live

Builder = Callable[[Settings, Ledger, str], Collaborators]


def main(argv: Sequence[str] | None = None, build_work: Builder = build) -> int:
    """Run a worker from the environment's settings; returns the exit code."""
    return live(argv, WARM_QUEUES, build_work, functions)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
