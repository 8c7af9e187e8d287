"""One `maskloop up` per data folder: a lock the kernel drops with its process, and a pid for people."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from backends.core.errors import SetupFault


class DataDirLock:
    """Hold ``run/maskloop.pid`` locked. The lock tells who lives; the number in the file only names it.

    ``stale_pid`` is the pid of an earlier run that did not end cleanly, or None.
    """

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "run" / "maskloop.pid"
        self.stale_pid: int | None = None
        self._file: int | None = None

    def __enter__(self) -> DataDirLock:
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _locked(file, within_s=1.0):
            pid = _pid_in(file)
            os.close(file)
            raise SetupFault(
                f"MaskLoop already runs on {self.path.parent.parent} (process {pid}); "
                f"use that one, end it with `kill {pid}`, or set MASKLOOP_DATA_DIR to another folder"
            )
        self.stale_pid = _pid_in(file)
        _write(file, f"{os.getpid()}\n")
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            _write(self._file, "")
            os.close(self._file)
            self._file = None


def running_pid(data_dir: Path) -> int | None:
    """The pid of the `maskloop up` that holds this data folder, or None."""
    try:
        file = os.open(data_dir / "run" / "maskloop.pid", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid_in(file)
    finally:
        os.close(file)
    return None


def _locked(file: int, within_s: float) -> bool:
    """Try for a moment: :func:`running_pid` of another command holds the lock while it looks."""
    ends = time.monotonic() + within_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > ends:
                return False
            time.sleep(0.05)


def _pid_in(file: int) -> int | None:
    text = os.pread(file, 32, 0).strip()
    return int(text) if text.isdigit() else None


def _write(file: int, text: str) -> None:
    os.ftruncate(file, 0)
    os.pwrite(file, text.encode(), 0)
