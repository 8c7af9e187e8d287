"""Tickets: the RQ jobs that stand for ledger rows. A ticket's id names the row and its generation."""

from __future__ import annotations

from dataclasses import dataclass, field

from redis import Redis
from rq import Queue
from rq.exceptions import DuplicateJobError
from rq.job import Job

from backends.core.errors import SetupFault
from backends.ledger import JobRow
from backends.queues.connection import redis_errors
from backends.queues.exports import EXPORT
from backends.queues.improvement import IMPROVE
from backends.queues.reports import REPORT
from backends.queues.requests import LABEL_CLIP, PSEUDO_LABEL, PSEUDO_LABEL_NOW

INTERACTIVE = "interactive"  # answers someone waits for
PROPAGATE = "propagate"  # one clip
BATCH = "batch"  # many tasks
TRAIN = "train"  # hours; its own worker
IO = "io"  # write-back to Label Studio
MAINTENANCE = "maintenance"

WARM_QUEUES = (INTERACTIVE, PROPAGATE, BATCH, IO, MAINTENANCE)
"""What the warm worker listens to, most urgent first."""

_FUNCTIONS = {  # kind -> queue, function
    "propagate": (PROPAGATE, "pipelines.jobs.propagate"),
    PSEUDO_LABEL: (BATCH, "pipelines.jobs.pseudo_label"),
    LABEL_CLIP: (BATCH, "pipelines.jobs.label_clip"),
    PSEUDO_LABEL_NOW: (INTERACTIVE, "pipelines.jobs.pseudo_label"),
    IMPROVE: (TRAIN, "pipelines.trainings.improve"),
    REPORT: (MAINTENANCE, "pipelines.loop.report_job.make"),
    EXPORT: (MAINTENANCE, "pipelines.export.export_job.make"),
}
_DELIVER = "pipelines.jobs.deliver"
_MEASURE = "pipelines.clip_figures.measure"

_TIMEOUT_S = 24 * 3600  # a stuck job is ended by the worker's progress watch, long before
_TRAINING_TIMEOUT_S = 60 * 24 * 3600  # its process is watched as well, and may take days
_TICKET_TTL_S = 7 * 24 * 3600
_FAILURE_TTL_S = 3600


@dataclass(frozen=True)
class Ticket:
    """What goes into Redis: ids only, never masks, paths or secrets."""

    ticket_id: str
    queue: str
    function: str
    arguments: dict[str, str | int] = field(default_factory=dict)


def run_ticket(row: JobRow) -> Ticket:
    """The ticket of a queued job."""
    queue, function = queue_of(row.kind), _FUNCTIONS[row.kind][1]
    return Ticket(
        f"{row.id}-{row.generation}", queue, function, {"job_id": row.id, "generation": row.generation}
    )


def delivery_ticket(row: JobRow) -> Ticket:
    """The ticket that hands a done job's result to Label Studio."""
    return Ticket(f"deliver-{row.id}-{row.delivery_attempts}", IO, _DELIVER, {"job_id": row.id})


def figures_ticket(row: JobRow) -> Ticket:
    """The ticket that works out how steady the labels of a done clip are; lost, it is simply asked again."""
    return Ticket(f"figures-{row.id}-{row.generation}", MAINTENANCE, _MEASURE, {"job_id": row.id})


def queue_of(kind: str) -> str:
    """The queue of a kind of job; raises SetupFault for an unknown kind."""
    if kind not in _FUNCTIONS:
        raise SetupFault(f"unknown kind of job {kind!r}; known: {', '.join(sorted(_FUNCTIONS))}")
    return _FUNCTIONS[kind][0]


def push(redis: Redis, ticket: Ticket) -> bool:
    """Put the ticket at the end of its queue; False when it is there already. Raises RedisDown."""
    with redis_errors(redis):
        try:
            Queue(ticket.queue, connection=redis, serializer="json").enqueue_call(
                func=ticket.function,
                kwargs=ticket.arguments,
                job_id=ticket.ticket_id,
                unique=True,
                timeout=_TRAINING_TIMEOUT_S if ticket.queue == TRAIN else _TIMEOUT_S,
                ttl=_TICKET_TTL_S,
                result_ttl=0,
                failure_ttl=_FAILURE_TTL_S,
                description=f"{ticket.function} {ticket.ticket_id}",
            )
        except DuplicateJobError:
            return False
        return True


def is_waiting(redis: Redis, ticket: Ticket) -> bool:
    """True while the ticket and its body stand in the queue. Raises RedisDown."""
    with redis_errors(redis):
        in_queue = redis.lpos(Queue(ticket.queue, connection=redis).key, ticket.ticket_id) is not None
        return in_queue and bool(redis.exists(Job.key_for(ticket.ticket_id)))


def drop(redis: Redis, ticket: Ticket) -> None:
    """Take the ticket out, wherever it stands. Raises RedisDown."""
    with redis_errors(redis), redis.pipeline() as pipe:
        pipe.lrem(Queue(ticket.queue, connection=redis).key, 0, ticket.ticket_id)
        pipe.delete(Job.key_for(ticket.ticket_id))
        pipe.execute()
