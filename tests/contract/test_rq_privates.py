"""The private parts of RQ that the warm worker overrides or calls: a new RQ that moved them fails here."""

from __future__ import annotations

import inspect

import pytest
import rq
from redis import Redis
from rq import Queue, SimpleWorker
from rq.executions import Execution
from rq.job import Job
from rq.worker import BaseWorker

from backends.core.errors import BadInput
from backends.queues import WARM_QUEUES
from pipelines.working.allowed import MAINTENANCE_LOCK_S, CarefulQueue, allowed_jobs
from tests.redis_server import RedisServer


def test_the_major_version_is_the_one_that_was_read() -> None:
    assert rq.__version__.split(".")[0] == "3"


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (SimpleWorker, "execute_job", ["self", "job", "queue"]),
        (SimpleWorker, "get_heartbeat_ttl", ["self", "job", "working_time"]),
        (BaseWorker, "run_maintenance_tasks", ["self"]),
        (BaseWorker, "clean_registries", ["self"]),
        (BaseWorker, "teardown", ["self"]),
        (BaseWorker, "_shutdown", ["self"]),
        (BaseWorker, "heartbeat", ["self", "timeout", "pipeline"]),
        (BaseWorker, "work", ["self", "burst", "logging_level"]),
        (Queue, "acquire_maintenance_lock", ["self"]),
        (Queue, "_fetch_dequeued_job", ["connection", "queue_key", "job_id", "job_class"]),
        (Job, "send_webhooks", ["self", "status"]),
        (Job, "key_for", ["job_id"]),
        (Execution, "heartbeat", ["self", "started_job_registry", "ttl", "pipeline"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_methods_are_called_as_before(owner: type, name: str, parameters: list[str]) -> None:
    found = list(inspect.signature(getattr(owner, name)).parameters)
    assert found[: len(parameters)] == parameters


@pytest.mark.parametrize("name", ["func", "success_callback", "failure_callback", "stopped_callback"])
def test_properties_of_jobs_are_still_properties(name: str) -> None:
    assert isinstance(inspect.getattr_static(Job, name), property)


@pytest.mark.parametrize("name", ["dequeue_timeout", "should_run_maintenance_tasks"])
def test_properties_of_workers_are_still_properties(name: str) -> None:
    assert isinstance(inspect.getattr_static(BaseWorker, name), property)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (Job._execute, "self.func("),
        (BaseWorker.perform_job, "job.perform()"),
        (BaseWorker.dequeue_job_and_maintain_ttl, "max_connection_wait_time"),
        (Queue.dequeue_any, "_fetch_dequeued_job"),
        (BaseWorker.clean_registries, "acquire_maintenance_lock()"),
        (BaseWorker.request_stop, "self._shutdown()"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_overridden_is_still_what_is_called(function: object, text: str) -> None:
    assert text in inspect.getsource(function)  # type: ignore[arg-type]


def test_every_way_to_code_goes_through_the_table(redis_server: RedisServer) -> None:
    with redis_server.client() as redis:
        job = allowed_jobs({"known": len}).create("known", connection=redis, serializer="json")
        assert job.func is len
        for spoilt in ("os.system", "pipelines.jobs.propagate", "known ", ""):
            job.func_name = spoilt
            with pytest.raises(BadInput, match="a worker runs only known"):
                _ = job.func
        job._success_callback_name = job._failure_callback_name = job._stopped_callback_name = "os.getpid"
        assert (job.success_callback, job.failure_callback, job.stopped_callback) == (None, None, None)


def test_the_maintenance_lock_ends_soon(redis_server: RedisServer) -> None:
    with redis_server.client() as redis:
        queue = CarefulQueue(WARM_QUEUES[0], connection=redis)
        assert queue.acquire_maintenance_lock() and not queue.acquire_maintenance_lock()
        assert 0 < redis.ttl(queue.registry_cleaning_key) <= MAINTENANCE_LOCK_S


def test_unique_ids_stay_unique_until_the_ticket_is_gone(redis_server: RedisServer) -> None:
    """``push`` relies on it: an id that exists is refused atomically, and free again after a delete."""
    with redis_server.client() as redis:
        queue = Queue("q", connection=redis, serializer="json")
        first = queue.enqueue_call("known", job_id="a-0", unique=True)
        with pytest.raises(rq.exceptions.DuplicateJobError):
            queue.enqueue_call("known", job_id="a-0", unique=True)
        assert _waiting(redis, queue) == [b"a-0"] == [first.id.encode()]
        first.delete()
        queue.enqueue_call("known", job_id="a-0", unique=True)


def _waiting(redis: Redis, queue: Queue) -> list[bytes]:
    return redis.lrange(queue.key, 0, -1)
