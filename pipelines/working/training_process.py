"""One training as a child process: started, watched and ended by its worker, which never trains itself.

The child leads a process group of its own, gives way to everything else on the machine, and ends with its
parent; those last two it sees to itself (``pipelines.loop.process``).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from backends.core.errors import SetupFault

_VMSTAT = Path("/proc/vmstat")
_CGROUP = Path("/sys/fs/cgroup/memory.events")
_TAIL_BYTES = 4000


class TrainingProcess:
    """Use as a context manager; leaving it kills whatever of the group is left."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path) -> None:
        """Start it. Raises SetupFault when it cannot be started."""
        self.log = log
        self._kills_before = memory_kills()
        self._asked_at: float | None = None
        self._ticks, self._moved_at = 0, time.time()
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as stream:
                self._process = subprocess.Popen(
                    argv,
                    env=dict(env),
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise SetupFault(f"the training's process cannot be started: {error}") from error

    def __enter__(self) -> TrainingProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self, within_s: float = 0.0) -> int | None:
        """Its exit status (negative: the signal), None while it runs; waits up to ``within_s``."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(within_s)
        return None

    def end(self, patience_s: float) -> None:
        """Ask it to end, as Ctrl-C does; called again after ``patience_s``, kill it."""
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
            self._signal(signal.SIGINT)
        elif now - self._asked_at > patience_s:
            self.kill()

    def kill(self) -> None:
        """End it and what it started, at once."""
        self._signal(signal.SIGKILL)

    def silent_s(self, stamped_at: float) -> float:
        """Seconds without a sign of life: neither a step finished nor processor time used."""
        if (ticks := _processor_ticks(self.pid)) != self._ticks:
            self._ticks, self._moved_at = ticks, time.time()
        return time.time() - max(stamped_at, self._moved_at)

    def memory_ran_out(self) -> bool:
        """Whether the system has killed a process for want of memory since this one was started."""
        return memory_kills() > self._kills_before

    def last_line(self) -> str:
        """The last thing it wrote; empty when it wrote nothing."""
        try:
            with self.log.open("rb") as stream:
                stream.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
                text = stream.read().decode(errors="replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def _signal(self, number: int) -> None:
        with suppress(OSError):  # nobody of the group is left
            os.killpg(self.pid, number)


def memory_kills() -> int:
    """How often the system ended a process of ours for want of memory; 0 where it does not tell.

    A container counts for itself; else the whole machine counts.
    """
    for path in (_CGROUP, _VMSTAT):
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, count = line.partition(" ")
            if name == "oom_kill" and count.strip().isdigit():
                return int(count)
    return 0


def _processor_ticks(pid: int) -> int:
    """Processor time it has used, in kernel ticks; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(field) for field in fields[11:15])  # user and system, its own and its ended children's
