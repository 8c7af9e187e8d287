"""What Redis may make a worker do: look up a name in a fixed table, nothing else.

RQ imports whatever function name, callback or webhook a job in Redis holds, so write access to Redis would be
code execution. These classes never import from Redis, and a job that cannot even be read is set aside instead
of ending the worker. They override private parts of RQ 3; ``tests/contract/test_rq_privates.py`` watches
those.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq import Queue
from rq.job import Job

from backends.core.errors import BadInput

log = logging.getLogger(__name__)

POISON_KEY = "maskloop:poison"
"""A Redis list of the last job ids that could not be read."""

MAINTENANCE_LOCK_S = 10
"""RQ's own 899 s would stop every rescue for a quarter of an hour when its holder is killed."""

_KEPT_POISON = 100


def allowed_jobs(functions: Mapping[str, Callable[..., Any]]) -> type[Job]:
    """A Job class whose function comes out of ``functions``; callbacks and webhooks are ignored."""

    class AllowedJob(Job):
        @property
        def func(self) -> Callable[..., Any]:
            # Raised here, the job fails and the worker lives; raised in restore(), the worker would die.
            if self.instance is not None or self.func_name not in functions:
                known = ", ".join(sorted(functions))
                raise BadInput(f"job {self.id} asks for {self.func_name!r}; a worker runs only {known}")
            return functions[str(self.func_name)]

        @property
        def success_callback(self) -> None:
            return None

        @property
        def failure_callback(self) -> None:
            return None

        @property
        def stopped_callback(self) -> None:
            return None

        def send_webhooks(self, *_: object, **__: object) -> None:
            return None

    return AllowedJob


class CarefulQueue(Queue):
    """A queue that survives unreadable jobs and a killed holder of its maintenance lock."""

    def acquire_maintenance_lock(self) -> bool:
        """As RQ's, but it expires soon."""
        return bool(self.connection.set(self.registry_cleaning_key, 1, nx=True, ex=MAINTENANCE_LOCK_S))

    @classmethod
    def _fetch_dequeued_job(
        cls, connection: Redis, queue_key: str, job_id: str, *classes: Any, **options: Any
    ) -> tuple[Job, Queue] | None:
        try:
            return super()._fetch_dequeued_job(connection, queue_key, job_id, *classes, **options)
        except (RedisConnectionError, RedisTimeoutError):
            raise
        except Exception as error:
            log.error("job %s in %s cannot be read and is set aside: %r", job_id, queue_key, error)
            with connection.pipeline() as pipe:
                pipe.delete(Job.key_for(job_id))
                pipe.rpush(POISON_KEY, job_id)
                pipe.ltrim(POISON_KEY, -_KEPT_POISON, -1)
                pipe.execute()
            return None
