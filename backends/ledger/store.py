"""The file under the ledger: schema, one connection per thread, transactions. Knows no noun."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from backends.core.errors import SetupFault, Unavailable

SCHEMA_VERSION = 4
_BUSY_MS = 15_000

_CLIP_FIGURES = """CREATE TABLE clip_figures (
  job_id TEXT PRIMARY KEY REFERENCES jobs(id) ON DELETE CASCADE, figures TEXT NOT NULL, mean REAL,
  measured_at REAL NOT NULL)"""

_SCHEMA = f"""
CREATE TABLE jobs (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, project_id INTEGER NOT NULL, task_id INTEGER NOT NULL,
  model_version TEXT NOT NULL, payload TEXT NOT NULL, height INTEGER NOT NULL, width INTEGER NOT NULL,
  state TEXT NOT NULL, generation INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
  strikes INTEGER NOT NULL DEFAULT 0, worker TEXT NOT NULL DEFAULT '',
  done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL, stage TEXT NOT NULL DEFAULT '',
  network_s REAL NOT NULL DEFAULT 0,
  error TEXT NOT NULL DEFAULT '', delivery TEXT NOT NULL DEFAULT '', delivery_error TEXT NOT NULL DEFAULT '',
  delivery_attempts INTEGER NOT NULL DEFAULT 0, deliver_after REAL NOT NULL DEFAULT 0,
  created_at REAL NOT NULL, wanted_at REAL NOT NULL, queued_at REAL NOT NULL,
  started_at REAL, stamped_at REAL, finished_at REAL);
CREATE INDEX jobs_by_state ON jobs(state);
CREATE INDEX jobs_by_task ON jobs(task_id, model_version);
CREATE TABLE anchors (
  job_id TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, object_id TEXT NOT NULL,
  frame_index INTEGER NOT NULL, mask BLOB NOT NULL,
  PRIMARY KEY (job_id, frame_index, object_id)) WITHOUT ROWID;
CREATE TABLE frames (
  job_id TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, frame_index INTEGER NOT NULL,
  seq INTEGER NOT NULL, PRIMARY KEY (job_id, frame_index)) WITHOUT ROWID;
CREATE TABLE cells (
  job_id TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, frame_index INTEGER NOT NULL,
  object_id TEXT NOT NULL, confidence REAL NOT NULL, is_anchor INTEGER NOT NULL, mask BLOB NOT NULL,
  soft BLOB, PRIMARY KEY (job_id, frame_index, object_id)) WITHOUT ROWID;
CREATE TABLE predictions (
  task_id INTEGER NOT NULL, model_version TEXT NOT NULL, state TEXT NOT NULL, digest TEXT NOT NULL,
  prediction_id INTEGER, doubted_at REAL NOT NULL DEFAULT 0, owner TEXT NOT NULL DEFAULT '',
  owned_until REAL NOT NULL DEFAULT 0, updated_at REAL NOT NULL, PRIMARY KEY (task_id, model_version));
CREATE TABLE machine_masks (
  task_id INTEGER NOT NULL, region_id TEXT NOT NULL, digest TEXT NOT NULL, seen_at REAL NOT NULL,
  PRIMARY KEY (task_id, region_id, digest)) WITHOUT ROWID;
CREATE TABLE workers (
  name TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, ticks INTEGER NOT NULL,
  queues TEXT NOT NULL, state TEXT NOT NULL, model_version TEXT NOT NULL DEFAULT '',
  job_id TEXT NOT NULL DEFAULT '', born_at REAL NOT NULL, seen_at REAL NOT NULL);
{_CLIP_FIGURES};
"""


class Store:
    """One SQLite file in WAL mode. A writer waits up to 15 s for another one."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._local = threading.local()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._make_schema()

    def close(self) -> None:
        """Close this thread's connection; the next call opens a new one."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _make_schema(self) -> None:
        with self._write() as db:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if version > SCHEMA_VERSION:
                raise SetupFault(
                    f"{self.path} was written by a newer MaskLoop (schema {version}, this one knows "
                    f"{SCHEMA_VERSION}); upgrade MaskLoop or start with another MASKLOOP_DATA_DIR"
                )
            if version == 0:
                # executescript() would commit the open transaction: two processes may start at once.
                for statement in _SCHEMA.split(";\n"):
                    db.execute(statement)
            if version == 1:
                db.execute("ALTER TABLE cells ADD COLUMN soft BLOB")
            if version in (1, 2):
                db.execute(_CLIP_FIGURES)
            if 1 <= version < 4 and not _has_stages(db):
                db.execute("ALTER TABLE jobs ADD COLUMN stage TEXT NOT NULL DEFAULT ''")
            if version < SCHEMA_VERSION:
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _db(self) -> sqlite3.Connection:
        # A connection must not cross a fork or a thread, so both are part of its identity.
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None or self._local.pid != os.getpid():
            connection = self._open()
            self._local.connection = connection
            self._local.pid = os.getpid()
        return connection

    def _open(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self.path, timeout=_BUSY_MS / 1000, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
            connection.execute("PRAGMA journal_mode = WAL")
            # NORMAL: a killed process loses nothing; only a power cut may lose the last moments.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error as error:
            raise _translated(error, self.path) from error
        return connection

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction that holds the write lock from its first statement on."""
        db = self._db()
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        except sqlite3.Error as error:
            _roll_back(db)
            raise _translated(error, self.path) from error
        except BaseException:
            _roll_back(db)
            raise

    def _read(self, sql: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        try:
            return self._db().execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _translated(error, self.path) from error


def _has_stages(db: sqlite3.Connection) -> bool:
    return any(row["name"] == "stage" for row in db.execute("PRAGMA table_info(jobs)"))


def _roll_back(db: sqlite3.Connection) -> None:
    if db.in_transaction:
        db.execute("ROLLBACK")


def _translated(error: sqlite3.Error, path: Path) -> Exception:
    if isinstance(error, sqlite3.OperationalError):
        return Unavailable(f"the ledger {path} cannot be used now: {error}; check free disk space and rights")
    return SetupFault(f"{path} is not a usable ledger: {error}; move it aside and start again")
