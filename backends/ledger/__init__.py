"""The ledger: one SQLite file that is the truth about jobs, finished frames, predictions and workers.

Redis only carries tickets; whatever Redis loses is rebuilt from here. Every method is one short transaction
and may be called from any thread or process. Masks are stored packed (about 1 kB each), never pickled.
"""

from __future__ import annotations

from backends.ledger.clip_figures import ClipFigureRows, ClipFigures, Pair
from backends.ledger.deliveries import Deliveries
from backends.ledger.digests import MachineMasks
from backends.ledger.frames import FrameRows
from backends.ledger.made_masks import MadeMaskRows, MadeMasks
from backends.ledger.predictions import PredictionRow, Predictions
from backends.ledger.rows import Delivery, JobRow, State, WantedJob
from backends.ledger.runs import Runs
from backends.ledger.steps import ProjectJobs
from backends.ledger.task_cells import TaskCell, TaskCells
from backends.ledger.workers import WorkerRow, Workers

__all__ = [
    "ClipFigures",
    "Delivery",
    "JobRow",
    "Ledger",
    "MadeMasks",
    "Pair",
    "PredictionRow",
    "State",
    "TaskCell",
    "WantedJob",
    "WorkerRow",
]


class Ledger(
    FrameRows,
    ProjectJobs,
    Runs,
    Deliveries,
    Predictions,
    Workers,
    MachineMasks,
    MadeMaskRows,
    ClipFigureRows,
    TaskCells,
):
    """``Ledger(path)`` opens the file and makes its schema when it is new.

    Raises SetupFault for a file that is no ledger or comes from a newer release, Unavailable when the disk is
    full or the file stays locked.
    """
