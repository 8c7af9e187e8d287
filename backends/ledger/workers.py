"""Workers: who listens, who is alive, what each one does.

On the same machine a worker is alive exactly when its process is (clock jumps cannot kill it); elsewhere,
when it was seen in the last ALIVE_S seconds.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from backends.ledger.store import Store

ALIVE_S = 15.0
"""A worker on another machine that was silent for longer is dead; workers beat every 2 s."""


@dataclass(frozen=True)
class WorkerRow:
    """One worker process; ``state`` is "loading", "idle" or "busy"."""

    name: str
    host: str
    pid: int
    ticks: int  # start time of the process in kernel ticks: tells a re-used pid apart
    queues: tuple[str, ...]
    state: str
    model_version: str
    job_id: str
    born_at: float
    seen_at: float

    @property
    def is_alive(self) -> bool:
        """Asked of the kernel for a process of this machine, else judged by its last beat."""
        if self.host == socket.gethostname() and self.ticks:
            return process_ticks(self.pid) == self.ticks
        return time.time() - self.seen_at < ALIVE_S


class Workers(Store):
    """The workers table."""

    def register_worker(self, name: str, queues: tuple[str, ...]) -> None:
        """Enter this process as "loading"; rows of earlier processes with our pid are dropped."""
        now, host, pid = time.time(), socket.gethostname(), os.getpid()
        with self._write() as db:
            db.execute("DELETE FROM workers WHERE name = ? OR (host = ? AND pid = ?)", (name, host, pid))
            db.execute(
                "INSERT INTO workers (name, host, pid, ticks, queues, state, born_at, seen_at)"
                " VALUES (?, ?, ?, ?, ?, 'loading', ?, ?)",
                (name, host, pid, process_ticks(pid), ",".join(queues), now, now),
            )

    def beat(self, name: str, *, state: str, model_version: str, job_id: str = "") -> None:
        """Say "still here" and what it does."""
        with self._write() as db:
            db.execute(
                "UPDATE workers SET state = ?, model_version = ?, job_id = ?, seen_at = ? WHERE name = ?",
                (state, model_version, job_id, time.time(), name),
            )

    def forget_worker(self, name: str) -> None:
        """The worker ended in order."""
        with self._write() as db:
            db.execute("DELETE FROM workers WHERE name = ?", (name,))

    def workers(self) -> list[WorkerRow]:
        """Everyone on record, dead ones included; oldest first."""
        rows = self._read("SELECT * FROM workers ORDER BY born_at")
        return [WorkerRow(**{**dict(row), "queues": tuple(row["queues"].split(","))}) for row in rows]


def process_ticks(pid: int) -> int:
    """When the process started (kernel ticks since boot); 0 when there is none or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])
