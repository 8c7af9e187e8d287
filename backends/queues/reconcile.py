"""Reconcile: make Redis agree with the ledger after anything died. Safe to run at any time, from anywhere."""

from __future__ import annotations

import time
from dataclasses import dataclass

from redis import Redis

from backends.ledger import JobRow, Ledger
from backends.queues.tickets import delivery_ticket, drop, is_waiting, push, run_ticket

SETTLE_S = 2.0
"""A job queued more recently may have its ticket still on the way."""


@dataclass(frozen=True)
class Reconciled:
    """What was mended: job ids."""

    rescued: tuple[str, ...] = ()  # their worker was dead
    renewed: tuple[str, ...] = ()  # queued, but Redis had lost the ticket
    deliveries: tuple[str, ...] = ()  # results whose hand-over is due

    def __bool__(self) -> bool:
        return bool(self.rescued or self.renewed or self.deliveries)


def reconcile(ledger: Ledger, redis: Redis) -> Reconciled:
    """Rescue jobs of dead workers, write lost tickets again, ticket deliveries that are due.

    A lost ticket gets a new generation, so if it turns up after all it is refused. Raises RedisDown; what the
    ledger already says then stays right and the next call goes on.
    """
    rescued = _rescue(ledger)
    renewed = [row.id for row in ledger.jobs(states=["queued"], limit=10_000) if _renew(ledger, redis, row)]
    due = [row.id for row in ledger.deliveries_due() if _deliver(redis, row)]
    return Reconciled(tuple(rescued), tuple(renewed), tuple(due))


def _rescue(ledger: Ledger) -> list[str]:
    running = ledger.jobs(states=["running", "cancelling"], limit=10_000)
    if not running:
        return []
    living = {worker.name for worker in ledger.workers() if worker.is_alive}
    lost = [row for row in running if row.worker not in living]
    for row in lost:
        ledger.rescue(row.id, row.generation)
    return [row.id for row in lost]


def _renew(ledger: Ledger, redis: Redis, row: JobRow) -> bool:
    ticket = run_ticket(row)
    if is_waiting(redis, ticket):
        return False
    if time.time() - row.queued_at < SETTLE_S:
        return push(redis, ticket)
    drop(redis, ticket)
    row = ledger.renew(row.id, row.generation)
    return row.state == "queued" and push(redis, run_ticket(row))


def _deliver(redis: Redis, row: JobRow) -> bool:
    ticket = delivery_ticket(row)
    if is_waiting(redis, ticket):
        return False
    # Its worker may have died with the ticket in hand; two deliveries at once are kept apart by the sink.
    drop(redis, ticket)
    return push(redis, ticket)
