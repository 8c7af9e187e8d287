"""The warm worker: an RQ worker that keeps its model between jobs and never forks.

RQ's ``SimpleWorker`` sends no heartbeat while it works, believes a dead colleague for an hour, and quits when
Redis goes away in mid-job. The ledger decides what is true, so this worker may simply carry on: what Redis
forgot is written again by ``reconcile``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from redis import Redis
from redis.exceptions import RedisError
from rq import SimpleWorker
from rq.exceptions import StopRequested
from rq.job import Job
from rq.queue import Queue
from rq.utils import now

from backends.core.errors import RedisDown
from backends.ledger import Ledger
from backends.queues import ensure_up, reconcile
from pipelines.working.allowed import CarefulQueue, allowed_jobs

log = logging.getLogger(__name__)

TTL_S = 20
"""RQ believes in a silent worker, or in the job it runs, for so long: ten beats."""

KEEP_JOBS_S = 14 * 24 * 3600.0
"""Jobs that ended longer ago are forgotten with their frames; the last finished run of a task stays."""

_PRUNE_EVERY_S = 3600.0
_MAINTENANCE_S = 3
_POLL_S = 2


class WarmWorker(SimpleWorker):
    """Listens to its queues, runs allowed functions only, mends Redis from the ledger when idle."""

    max_connection_wait_time = 3.0  # seconds between attempts to reach Redis again
    queue_class = CarefulQueue

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        table: Mapping[str, Callable[..., None]],
        redis: Redis,
        queues: tuple[str, ...],
    ) -> None:
        """``name``: its name in the ledger; ``table``: what a ticket may name."""
        super().__init__(
            list(queues),
            name=name,
            connection=redis,
            job_class=allowed_jobs(table),
            serializer="json",
            worker_ttl=TTL_S,
            job_monitoring_interval=TTL_S,
            maintenance_interval=_MAINTENANCE_S,
            log_job_description=False,
        )
        self.log_result_lifespan = False
        self.was_told_to_stop = False
        self.ledger = ledger
        self._pruned_at = float("-inf")

    @property
    def dequeue_timeout(self) -> int:
        """Seconds to block on empty queues; short, so that maintenance comes round."""
        return _POLL_S

    @property
    def is_stopping(self) -> bool:
        """True once SIGTERM or SIGINT came while a job runs."""
        return self._stop_requested

    @property
    def running(self) -> str:
        """The ledger id of the job in hand; empty when idle."""
        ours = list(self.executions.values())
        return ours[0].job_id.rpartition("-")[0].rpartition("-")[2] if ours else ""

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """The heartbeat thread renews it, so it need not cover the job's length."""
        return TTL_S

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run it here. When Redis went away meanwhile, wait for it: the ledger holds the result."""
        try:
            super().execute_job(job, queue)
        except (RedisError, OSError) as error:
            log.warning("Redis went away during %s (%s); the result is in the ledger", job.id, error)
            self.executions.clear()
            self._await_redis()
            with suppress(RedisError, OSError):
                job.delete()

    def run_maintenance_tasks(self) -> None:
        """RQ's own, then make Redis agree with the ledger; once an hour forget what is old."""
        super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        self.mend()
        if time.monotonic() - self._pruned_at > _PRUNE_EVERY_S:
            self._pruned_at = time.monotonic()
            self.ledger.prune(KEEP_JOBS_S)

    def clean_registries(self) -> None:
        """As RQ's; something unreadable in Redis must not end the worker."""
        try:
            super().clean_registries()  # type: ignore[no-untyped-call]
        except (RedisError, OSError):
            raise
        except Exception:
            log.exception("a registry of RQ could not be cleaned")
        self.last_cleaned_at = now()  # type: ignore[assignment]

    def mend(self) -> None:
        """Rescue jobs of dead workers and write lost tickets again."""
        with suppress(RedisDown):
            if mended := reconcile(self.ledger, self.connection):
                log.info("mended: %s", mended)

    def beat(self, redis: Redis) -> None:
        """Renew what RQ knows of this worker and its job, over the caller's own connection."""
        with redis.pipeline() as pipe:
            self.heartbeat(TTL_S + 60, pipeline=pipe)
            for execution in list(self.executions.values()):
                job = execution.job
                execution.heartbeat(job.started_job_registry, TTL_S, pipeline=pipe)
            pipe.execute()

    def teardown(self) -> None:
        """As RQ's, with or without Redis."""
        with suppress(RedisError, OSError):
            super().teardown()  # type: ignore[no-untyped-call]

    def _shutdown(self) -> None:
        # RQ's asks Redis here, inside a signal handler.
        self.was_told_to_stop = True
        if self.executions:
            self._stop_requested = True
        else:
            raise StopRequested

    def _await_redis(self) -> None:
        while not self._stop_requested:
            try:
                return ensure_up(self.connection)
            except RedisDown:
                time.sleep(0.5)
