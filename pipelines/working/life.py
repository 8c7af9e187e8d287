"""The life of a worker process, whatever it works on: on record, beating, mending, told to stop, gone.

It is on record as "loading" before its model is read, beats from a thread of its own, ends with its parent,
and exits with the codes of ``backends.core.errors``.
"""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from redis import Redis

from backends.core.errors import MaskLoopError, RedisDown, SetupFault, Superseded, Unavailable
from backends.ledger import Ledger
from backends.queues import connect, ensure_up
from backends.settings import Settings, from_env
from pipelines.working.heartbeat import Heartbeat
from pipelines.working.parent import end_with_parent
from pipelines.working.warm_worker import WarmWorker

log = logging.getLogger(__name__)

REDIS_WAIT_S = 30.0
"""How long a starting worker waits for Redis before it gives up and leaves the rest to its supervisor."""

EXIT_STALLED = 5

Table = Mapping[str, Callable[..., None]]


@dataclass(kw_only=True)
class Work:
    """What the jobs of any worker need of the worker, and it of them."""

    warm: Callable[[], str]
    """Load what should be loaded before the first job; returns its version, or nothing."""
    stopping: Callable[[], bool] = field(default=lambda: False)
    """True once the worker was asked to stop: give the job back between two frames."""


AnyWork = TypeVar("AnyWork", bound=Work)


def live(
    argv: Sequence[str] | None,
    queues: tuple[str, ...],
    build: Callable[[Settings, Ledger, str], AnyWork],
    table: Callable[[AnyWork], Table],
    *,
    may_stall: bool = False,
) -> int:
    """Run a worker on ``queues`` from the environment's settings until told to stop; returns the exit code.

    ``build`` makes what its jobs work with, ``table`` the names that a ticket may hold. A job without a sign
    of life ends the whole process, unless the jobs see to that themselves (``may_stall``).
    """
    if argv:
        raise SetupFault(f"the worker takes no arguments, got {' '.join(argv)}; it reads MASKLOOP_* instead")
    end_with_parent()
    settings = from_env()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        return _run(settings, queues, build, table, may_stall)
    except MaskLoopError as error:
        log.error("%s", error)
        return 3 if isinstance(error, Unavailable) else 4


def _run(
    settings: Settings,
    queues: tuple[str, ...],
    build: Callable[[Settings, Ledger, str], AnyWork],
    table: Callable[[AnyWork], Table],
    may_stall: bool,
) -> int:
    ledger = Ledger(settings.ledger_path)
    name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    ledger.register_worker(name, queues)
    watch = _Watch(ledger, name, settings.stall_s, connect(settings))
    beats = [watch.beat_ledger, watch.beat_redis, *([] if may_stall else [watch.end_when_stalled])]
    try:
        with Heartbeat(beats):
            work = build(settings, ledger, name)
            watch.model_version = work.warm()
            redis = connect(settings)
            _wait_for(redis)
            worker = WarmWorker(name, ledger, table(work), redis, queues)
            work.stopping = lambda: worker.is_stopping
            watch.worker = worker
            watch.beat_ledger()
            log.info("worker %s is ready%s", name, f" with {watch.model_version}" * bool(watch.model_version))
            worker.mend()
            worker.work(logging_level="WARNING")
            return 0 if worker.was_told_to_stop else 3
    finally:
        ledger.forget_worker(name)


class _Watch:
    """What the heartbeat thread calls."""

    def __init__(self, ledger: Ledger, name: str, stall_s: float, redis: Redis) -> None:
        self.ledger, self.name, self.stall_s, self.redis = ledger, name, stall_s, redis
        self.worker: WarmWorker | None = None
        self.model_version = ""

    def beat_ledger(self) -> None:
        """Still here; doing this."""
        running = self.worker.running if self.worker else ""
        state = "loading" if self.worker is None else "busy" if running else "idle"
        self.ledger.beat(self.name, state=state, model_version=self.model_version, job_id=running)

    def beat_redis(self) -> None:
        """The same for RQ."""
        if self.worker is not None:
            self.worker.beat(self.redis)

    def end_when_stalled(self) -> None:
        """A job without a sign of life for ``stall_s`` hangs in code that cannot be interrupted."""
        for row in self.ledger.jobs(states=["running", "cancelling"]):
            if row.worker != self.name or time.time() - (row.stamped_at or 0) < self.stall_s:
                continue
            words = f"no progress for {self.stall_s:g} s with {row.done} of {row.total} frames finished"
            try:
                self.ledger.fail(row.id, row.generation, words)
            except Superseded:
                continue
            log.critical("job %s: %s", row.id, words)
            os._exit(EXIT_STALLED)


def _wait_for(redis: Redis) -> None:
    deadline = time.monotonic() + REDIS_WAIT_S
    while True:
        try:
            return ensure_up(redis)
        except RedisDown:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
