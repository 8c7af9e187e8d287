"""Graphs for ONNX Runtime: made once, kept on disk, opened by any process. Nothing here knows torch.

Making a graph is dear (it needs torch and some seconds), so it is cached in a folder under a name that its
maker derives from the weights' digest. Beside each graph lies its SHA-256; a torn or altered file is noticed
by it and made again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from backends.core.errors import SetupFault

if TYPE_CHECKING:
    import onnxruntime


def cached_graph(folder: Path, name: str, build: Callable[[Path], None]) -> Path:
    """``folder/name``, whole; ``build(path)`` is called to write it where it is missing or broken.

    Safe for several threads and processes at once: one builds, the others wait for it. A build that fails
    leaves nothing behind, and its error passes on.
    """
    path = folder / name
    if is_whole(path):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / f".{name}.lock"):
        if not is_whole(path):
            _build(path, build)
    return path


def is_whole(path: Path) -> bool:
    """Whether the graph lies there as it was written."""
    try:
        return _seal_of(path).read_text() == _digest(path)
    except OSError:
        return False


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A session on the CPU with ``threads`` threads (0: one per core that this process may use).

    Safe to share between threads. Raises SetupFault when ONNX Runtime is missing or cannot use the file.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise SetupFault(f"ONNX Runtime cannot be loaded ({error}): pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads if threads > 0 else len(os.sched_getaffinity(0))
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")  # idle leaves cores alone
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own family of exceptions, one class per status code
        raise SetupFault(f"{path} cannot be opened as a graph: {error}; delete it to have it made") from error


def _build(path: Path, build: Callable[[Path], None]) -> None:
    workshop = path.with_name(f".{path.name}.building")  # only the holder of the lock is here
    shutil.rmtree(workshop, ignore_errors=True)  # of a build that was killed
    workshop.mkdir()
    try:
        made = workshop / path.name
        build(made)
        seal = workshop / "seal"
        seal.write_text(_digest(made))
        made.replace(path)
        seal.replace(_seal_of(path))
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _seal_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold ``lock`` against other threads and processes; the system frees it when a holder dies."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
