"""What may lie in Redis: garbage, foreign names, callbacks. The worker lives and the next job runs."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

from redis import Redis
from rq import Queue
from rq.job import Callback, Job

from backends.queues import PROPAGATE
from pipelines.working.allowed import POISON_KEY
from tests.queue_house import QueueHouse

POISON_ID = "poison-1"


def _body(redis: Redis, data: bytes = b"", **fields: str | bytes) -> None:
    """A job hash as RQ writes it, with some fields spoilt, at the head of the queue."""
    made = Job.create(
        "pipelines.jobs.propagate", id=POISON_ID, connection=redis, serializer="json", timeout=60
    )
    made.origin = PROPAGATE
    redis.hset(made.key, mapping={**made.to_dict(), **({"data": data} if data else {}), **fields})
    redis.lpush(f"rq:queue:{PROPAGATE}", POISON_ID)


def _wrong_type(redis: Redis) -> None:
    redis.set(Job.key_for(POISON_ID), "a string, not a hash")
    redis.lpush(f"rq:queue:{PROPAGATE}", POISON_ID)


def _no_body(redis: Redis) -> None:
    redis.lpush(f"rq:queue:{PROPAGATE}", POISON_ID)


def _call(name: str, *args: object, instance: object = None) -> bytes:
    return zlib.compress(json.dumps([name, instance, list(args), {}]).encode())


POISON: dict[str, Callable[[Redis], None]] = {
    "garbage": lambda redis: _body(redis, data=b"\x80\x04not json"),
    "unknown name": lambda redis: _body(redis, data=_call("no.such.module.function")),
    "instance": lambda redis: _body(redis, data=_call("propagate", instance={"a": 1})),
    "timeout": lambda redis: _body(redis, timeout="abc"),
    "meta": lambda redis: _body(redis, meta=b"\xff\xfe"),
    "created_at": lambda redis: _body(redis, created_at="yesterday"),
    "ids": lambda redis: _body(redis, data=_call("pipelines.jobs.propagate", "no such job", 0)),
    "arguments": lambda redis: _body(redis, data=_call("pipelines.jobs.propagate", {"a": []}, 0, 1, 2)),
    "wrong type": _wrong_type,
    "no body": _no_body,
}


def test_poison_does_not_stop_the_queue(queue_house: QueueHouse) -> None:
    worker = queue_house.start_worker()
    for task, (kind, plant) in enumerate(POISON.items(), start=1):
        plant(queue_house.redis)
        good = queue_house.enqueue(queue_house.request(3, task=task))
        assert queue_house.until_state(good.id, "done", "failed").state == "done", kind
        assert worker.poll() is None, kind
        queue_house.redis.delete(Job.key_for(POISON_ID))


def test_unreadable_jobs_are_set_aside(queue_house: QueueHouse) -> None:
    queue_house.start_worker()
    _body(queue_house.redis, timeout="abc")
    queue_house.until(lambda: queue_house.redis.lrange(POISON_KEY, 0, -1) == [POISON_ID.encode()])
    assert not queue_house.redis.exists(Job.key_for(POISON_ID))


def test_redis_cannot_make_a_worker_run_anything(queue_house: QueueHouse, tmp_path: Path) -> None:
    """os.system, callbacks that would run it, and a job that kills through a path of ours."""
    worker = queue_house.start_worker()
    queue = Queue(PROPAGATE, connection=queue_house.redis, serializer="json")
    traces = [tmp_path / name for name in ("called", "success", "failure")]
    called = queue.enqueue_call("os.system", args=(f"touch {traces[0]}",))
    hooks = {
        "on_success": Callback("tests.flow.test_queue_poison.leave_trace"),
        "on_failure": Callback("tests.flow.test_queue_poison.leave_trace"),
    }
    queue.enqueue_call("pipelines.jobs.deliver", args=("unknown",), meta={"to": str(traces[2])}, **hooks)
    queue_house.until_state(queue_house.enqueue(queue_house.request(3)).id, "done")
    assert worker.poll() is None and not any(path.exists() for path in traces)
    called.refresh()
    assert called.is_failed
    said = called.latest_result().exc_string
    known = said.rpartition("a worker runs only ")[2].split("\n")[0].split(", ")
    assert {"pipelines.jobs.deliver", "pipelines.jobs.propagate"} <= set(known)
    assert all(name.startswith("pipelines.") for name in known)


def leave_trace(job: Job, *_: object) -> None:
    """What a callback would do if it ran."""
    Path(job.meta["to"]).touch()
