"""Queues: named work goes to Redis as tickets that hold ids only; the ledger knows what they mean.

Work is named by dotted path, so nothing here imports what runs it. Losing every ticket loses nothing:
:func:`reconcile` writes them again from the ledger.
"""

from __future__ import annotations

from backends.queues.connection import connect, ensure_up
from backends.queues.exports import EXPORT, EXPORT_FORMATS, ExportRequest
from backends.queues.improvement import IMPROVE, ImproveRequest
from backends.queues.reconcile import Reconciled, reconcile
from backends.queues.reports import REPORT, ReportRequest
from backends.queues.requests import ClipRequest, PropagationRequest, PseudoLabelRequest
from backends.queues.tickets import BATCH, INTERACTIVE, IO, MAINTENANCE, PROPAGATE, TRAIN, WARM_QUEUES
from backends.queues.verbs import (
    cancel,
    enqueue_clip,
    enqueue_export,
    enqueue_improvement,
    enqueue_propagation,
    enqueue_pseudo_label,
    enqueue_report,
    retry,
    want_figures,
    workers_alive,
)

__all__ = [
    "BATCH",
    "EXPORT",
    "EXPORT_FORMATS",
    "IMPROVE",
    "INTERACTIVE",
    "IO",
    "MAINTENANCE",
    "PROPAGATE",
    "REPORT",
    "TRAIN",
    "WARM_QUEUES",
    "ClipRequest",
    "ExportRequest",
    "ImproveRequest",
    "PropagationRequest",
    "PseudoLabelRequest",
    "Reconciled",
    "ReportRequest",
    "cancel",
    "connect",
    "enqueue_clip",
    "enqueue_export",
    "enqueue_improvement",
    "enqueue_propagation",
    "enqueue_pseudo_label",
    "enqueue_report",
    "ensure_up",
    "reconcile",
    "retry",
    "want_figures",
    "workers_alive",
]
