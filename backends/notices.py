"""What people must be told and Label Studio does not show: kept in the ledger's file, listed on the console.

Label Studio swallows a backend's errors (the annotator sees nothing at all), so every refusal and every
outage that stops a click from working becomes a notice. Webhook deliveries are recorded beside them.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from backends.core.errors import Unavailable

log = logging.getLogger(__name__)

KEPT = 500  # rows per table; older ones go
REPEAT_S = 600.0  # the same words about the same task within this time count up instead of piling up
MAX_TEXT = 1000  # characters

_SCHEMA = """
CREATE TABLE IF NOT EXISTS notices (
    id INTEGER PRIMARY KEY, level TEXT NOT NULL, task_id INTEGER, text TEXT NOT NULL,
    times INTEGER NOT NULL DEFAULT 1, first_at REAL NOT NULL, last_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS webhook_events (
    id INTEGER PRIMARY KEY, action TEXT NOT NULL, project_id INTEGER, task_id INTEGER, annotation_id INTEGER,
    at REAL NOT NULL);
"""


@dataclass(frozen=True)
class Notice:
    """One message for a person; ``level`` is "info", "warning" or "error", times are seconds since 1970."""

    id: int
    level: str
    task_id: int | None
    text: str
    times: int
    first_at: float
    last_at: float


@dataclass(frozen=True)
class Event:
    """One webhook delivery from Label Studio; ids that the payload did not carry are None."""

    action: str
    project_id: int | None
    task_id: int | None
    annotation_id: int | None
    at: float = 0.0


class Notices:
    """The two tables. Safe from many threads. Every method but ``add`` raises Unavailable when the file is
    locked or broken, or the disk is full."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._ready = False

    def add(self, level: str, text: str, task_id: int | None = None) -> None:
        """Tell people ``text``; also logged. Never raises."""
        text = text[:MAX_TEXT]
        log.log({"error": logging.ERROR, "warning": logging.WARNING}.get(level, logging.INFO), "%s", text)
        try:
            with self._open() as database:
                _tell(database, level, text, task_id)
        except Unavailable as error:
            log.error("the notice above could not be kept: %s", error)

    def recent(self, limit: int = 50) -> list[Notice]:
        """The newest notices, newest first."""
        with self._open() as database:
            rows = database.execute(
                "SELECT id, level, task_id, text, times, first_at, last_at FROM notices "
                "ORDER BY last_at DESC, id DESC LIMIT ?",
                (limit,),
            )
            return [Notice(*row) for row in rows]

    def clear(self) -> None:
        """Forget all notices: a person has read them."""
        with self._open() as database:
            database.execute("DELETE FROM notices")

    def record(self, event: Event) -> None:
        """Keep a webhook delivery."""
        with self._open() as database:
            database.execute(
                "INSERT INTO webhook_events (action, project_id, task_id, annotation_id, at)"
                " VALUES (?, ?, ?, ?, ?)",
                (event.action[:64], event.project_id, event.task_id, event.annotation_id, time.time()),
            )
            database.execute(
                "DELETE FROM webhook_events WHERE id <= (SELECT MAX(id) FROM webhook_events) - ?", (KEPT,)
            )

    def events(self, limit: int = 50) -> list[Event]:
        """The newest webhook deliveries, newest first."""
        with self._open() as database:
            rows = database.execute(
                "SELECT action, project_id, task_id, annotation_id, at FROM webhook_events "
                "ORDER BY id DESC LIMIT ?",
                (limit,),
            )
            return [Event(*row) for row in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One connection and one transaction per use: a few notices a minute need no pool."""
        try:
            with closing(sqlite3.connect(self._path, timeout=5.0)) as database:
                # as in the ledger: only a power cut loses anything
                database.execute("PRAGMA synchronous = NORMAL")
                with self._lock:
                    if not self._ready:
                        database.execute("PRAGMA journal_mode = WAL")
                        database.executescript(_SCHEMA)
                        self._ready = True
                with database:
                    yield database
        except sqlite3.Error as error:
            raise Unavailable(f"messages cannot be kept in {self._path}: {error}") from error


def _tell(database: sqlite3.Connection, level: str, text: str, task_id: int | None) -> None:
    now = time.time()
    again = database.execute(
        "UPDATE notices SET times = times + 1, last_at = ? "
        "WHERE level = ? AND text = ? AND task_id IS ? AND last_at > ?",
        (now, level, text, task_id, now - REPEAT_S),
    )
    if again.rowcount == 0:
        database.execute(
            "INSERT INTO notices (level, task_id, text, first_at, last_at) VALUES (?,?,?,?,?)",
            (level, task_id, text, now, now),
        )
    database.execute("DELETE FROM notices WHERE id <= (SELECT MAX(id) FROM notices) - ?", (KEPT,))
