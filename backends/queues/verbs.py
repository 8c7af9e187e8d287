"""What people and the server do with jobs: enqueue, cancel, retry, ask who works."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress

from redis import Redis

from backends.core.errors import BadInput, NoWorker, RedisDown
from backends.ledger import JobRow, Ledger, WorkerRow
from backends.queues.connection import ensure_up
from backends.queues.exports import ExportRequest
from backends.queues.improvement import ImproveRequest
from backends.queues.reports import ReportRequest
from backends.queues.requests import (
    LABEL_CLIP,
    ClipRequest,
    PropagationRequest,
    PseudoLabelRequest,
    Request,
    anew,
)
from backends.queues.tickets import (
    IO,
    MAINTENANCE,
    PROPAGATE,
    TRAIN,
    delivery_ticket,
    drop,
    figures_ticket,
    is_waiting,
    push,
    queue_of,
    run_ticket,
)

log = logging.getLogger(__name__)


def enqueue_propagation(ledger: Ledger, redis: Redis, request: PropagationRequest) -> JobRow:
    """Want this propagation; the same wish twice is one job.

    A finished job is returned as it is, a failed or cancelled one goes on from its finished frames. Raises
    NoWorker or RedisDown before anything is stored, so that silence never looks like work.
    """
    return _enqueue(ledger, redis, request)


def enqueue_pseudo_label(ledger: Ledger, redis: Redis, request: PseudoLabelRequest) -> JobRow:
    """Want masks for the tags of one image; otherwise as :func:`enqueue_propagation`."""
    return _enqueue(ledger, redis, request)


def enqueue_clip(ledger: Ledger, redis: Redis, request: ClipRequest) -> JobRow:
    """Want a whole clip labelled; otherwise as :func:`enqueue_propagation`."""
    return _enqueue(ledger, redis, request)


def enqueue_improvement(ledger: Ledger, redis: Redis, request: ImproveRequest) -> JobRow:
    """Want a cycle for a project. While one is under way there, that one is returned.

    Raises NoWorker or RedisDown before anything is stored.
    """
    return _enqueue_alone(ledger, redis, request)


def enqueue_report(ledger: Ledger, redis: Redis, request: ReportRequest) -> JobRow:
    """Want the report of a project made anew; otherwise as :func:`enqueue_improvement`."""
    return _enqueue_alone(ledger, redis, request)


def enqueue_export(ledger: Ledger, redis: Redis, request: ExportRequest) -> JobRow:
    """Want a project exported; otherwise as :func:`enqueue_improvement`, whatever the formats."""
    return _enqueue_alone(ledger, redis, request)


def _enqueue_alone(ledger: Ledger, redis: Redis, request: Request) -> JobRow:
    ensure_up(redis)
    wanted = request.wanted()
    _ensure_worker(ledger, queue_of(wanted.kind))
    return _push_row(redis, ledger.want_alone(wanted))


def _enqueue(ledger: Ledger, redis: Redis, request: Request) -> JobRow:
    ensure_up(redis)
    wanted = request.wanted()
    _ensure_worker(ledger, queue_of(wanted.kind))
    row = ledger.want_job(wanted)
    if row.state in ("failed", "cancelled"):
        row = ledger.requeue(row.id)
    return _push_row(redis, row)


def cancel(ledger: Ledger, redis: Redis, job_id: str) -> JobRow:
    """Stop the job; finished frames are kept. A running one ends after the frame it works on.

    Works with Redis down: the ticket is refused later. Raises BadInput for an unknown job.
    """
    row = ledger.request_cancel(job_id)
    if row.state == "cancelled":
        with suppress(RedisDown):
            drop(redis, run_ticket(row))
    if row.state == "cancelling" and row.worker not in _living(ledger):
        row = ledger.rescue(job_id, row.generation)
    return row


def retry(
    ledger: Ledger, redis: Redis, job_id: str, answered_by: Callable[[str, int], str] | None = None
) -> JobRow:
    """Queue a failed or cancelled job again from its finished frames, or deliver a done one's result again.

    ``answered_by``: (version that was asked for, project) -> the version that answers now. Where that is
    another one the same is asked for anew, which is another job. Raises NoWorker, RedisDown, BadInput.
    """
    ensure_up(redis)
    row = ledger.job(job_id)
    if answered_by is not None and row.model_version and row.state in ("failed", "cancelled"):
        version = answered_by(row.model_version, row.project_id)
        if version != row.model_version:
            return _enqueue(ledger, redis, anew(row, ledger.anchors(job_id), version))
    _ensure_worker(ledger, IO if row.state == "done" else queue_of(row.kind))
    if row.state == "done" and row.delivery:
        row = ledger.want_delivery(job_id)
        _push_quietly(redis, row)
        return row
    return _push_row(redis, ledger.requeue(job_id))


def want_figures(ledger: Ledger, redis: Redis, job_id: str) -> JobRow:
    """Ask a worker how steady the labels of a done clip are; asking again while it waits changes nothing.

    Raises BadInput for a job that has no labelled clip to show, NoWorker, RedisDown.
    """
    row = ledger.job(job_id)
    if row.kind != LABEL_CLIP or row.state != "done":
        raise BadInput(f"job {job_id} is {row.state} and of kind {row.kind}; wants a clip that is labelled")
    ensure_up(redis)
    _ensure_worker(ledger, MAINTENANCE)
    ticket = figures_ticket(row)
    if not is_waiting(redis, ticket):
        drop(redis, ticket)  # what is left of one whose worker died
        push(redis, ticket)
    return row


def workers_alive(ledger: Ledger, queue: str = PROPAGATE) -> list[WorkerRow]:
    """The living workers that listen to this queue (those that still load their model included)."""
    return [worker for worker in ledger.workers() if queue in worker.queues and worker.is_alive]


def _push_row(redis: Redis, row: JobRow) -> JobRow:
    if row.state == "queued" or (row.state == "done" and row.delivery == "pending"):
        _push_quietly(redis, row)
    return row


def _push_quietly(redis: Redis, row: JobRow) -> None:
    # The wish is in the ledger by now: a ticket that cannot be written is written by the next reconcile.
    try:
        push(redis, delivery_ticket(row) if row.state == "done" else run_ticket(row))
    except RedisDown as error:
        log.warning("job %s waits in the ledger for its ticket: %s", row.id, error)


def _living(ledger: Ledger) -> set[str]:
    return {worker.name for worker in ledger.workers() if worker.is_alive}


def _ensure_worker(ledger: Ledger, queue: str) -> None:
    if workers_alive(ledger, queue):
        return
    seen = [worker.seen_at for worker in ledger.workers() if queue in worker.queues]
    last = f"; the last one was seen {time.time() - max(seen):.0f} s ago" if seen else ""
    raise NoWorker(
        f"no worker listens to the queue {queue!r}{last}; "
        f"`maskloop up` starts and restarts one, `maskloop worker{' --train' if queue == TRAIN else ''}` "
        "starts one by hand"
    )
