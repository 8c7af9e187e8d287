"""The supervisor: starts the services as its children, watches them, starts again what dies, ends them all.

It knows nothing of what the services do. Three things see to it that nothing outlives it: a stop in
order, the kernel (a child dies with its parent), and the guard process (see pipelines/services/guard.py).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from backends.core.errors import SetupFault

Say = Callable[[str], None]

_PR_SET_PDEATHSIG = 1
_TAIL_LINES = 12
_LOG_KEPT_BYTES = 5_000_000
_HEALTHY_S = 60.0  # a child that lived this long starts its back-off anew
_LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True)
class ChildSpec:
    """How one service is started and ended."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    grace_s: float = 3.0  # from SIGTERM to SIGKILL


class Child:
    """One running service: a process that leads its own session, so that a signal reaches all of it."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.started_s = time.monotonic()
        _keep_log_short(spec.log)
        with spec.log.open("ab") as log:
            try:
                self.process = subprocess.Popen(
                    spec.argv,
                    env=dict(spec.env),
                    cwd=spec.cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_dies_with(os.getpid()),
                )
            except OSError as error:
                raise SetupFault(
                    f"{spec.name} cannot be started: {error.strerror}: {spec.argv[0]}"
                ) from error

    @property
    def pid(self) -> int:
        return self.process.pid

    def ended(self) -> str | None:
        """None while it runs, else how it ended, in words."""
        code = self.process.poll()
        if code is None:
            return None
        return f"killed by signal {-code} ({_signal_name(-code)})" if code < 0 else f"exit status {code}"

    def signal(self, number: int) -> None:
        with suppress(OSError):  # nobody of the group is left
            os.killpg(self.pid, number)

    def tail(self) -> str:
        """The last lines of its log, indented."""
        return tail(self.spec.log)


class Supervisor:
    """Owns the children of one ``maskloop up``. Use as a context manager; leaving it ends them all.

    All methods belong to the thread that made it: the kernel ends children with the *thread* that
    started them.
    """

    def __init__(self, say: Say) -> None:
        self.say = say
        self._children: dict[str, Child] = {}
        self._again_at: dict[str, float] = {}  # name -> when to start it again
        self._pause_s: dict[str, float] = {}
        self._guard = subprocess.Popen(
            [sys.executable, "-m", "pipelines.services.guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parents[2],
            start_new_session=True,
        )

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all()

    def start(self, spec: ChildSpec) -> Child:
        """Start a service (again); the guard hears of it before anyone else."""
        child = Child(spec)
        self._children[spec.name] = child
        self._tell_guard(f"+{child.pid}")
        return child

    def replace(self, spec: ChildSpec) -> Child:
        """End the service of that name and start it as ``spec`` says."""
        self._stop(self._children[spec.name])
        return self.start(spec)

    def child(self, name: str) -> Child:
        return self._children[name]

    def pids(self) -> dict[str, int]:
        return {name: child.pid for name, child in self._children.items()}

    def check(self) -> None:
        """Raise SetupFault, the log's tail said before, when a child has ended while starting."""
        for name, child in self._children.items():
            if how := child.ended():
                self.say(f"The end of {child.spec.log}:\n{child.tail()}{_disk_hint(child)}")
                raise SetupFault(f"{name} ended while starting ({how}); why stands in {child.spec.log}")

    def wait_until(self, ready: Callable[[], bool], what: str, limit_s: float, hint: str = "") -> float:
        """Wait for a condition while all children live; say every few seconds that it goes on.

        Returns the seconds waited. Raises SetupFault when a child ends or the limit passes.
        """
        begun = time.monotonic()
        next_word_s = 2.0
        while not ready():
            self.check()
            waited = time.monotonic() - begun
            if waited > limit_s:
                raise SetupFault(f"{what} was not ready within {limit_s:.0f} s. {hint}".rstrip())
            if waited > next_word_s:
                self.say(f"  … {what}: {waited:.0f} s" + (f" ({hint})" if hint else ""))
                next_word_s = waited + 5.0
            time.sleep(0.1)
        return time.monotonic() - begun

    def tend(self) -> None:
        """One round of watching: report children that ended and start them again when their pause is over."""
        now = time.monotonic()
        for name, child in list(self._children.items()):
            how = child.ended()
            if how is None:
                continue
            if name not in self._again_at:
                self._report(child, how, now)
            elif now >= self._again_at[name]:
                del self._again_at[name]
                self.start(child.spec)
                self.say(f"{name} was started again (process {self.child(name).pid}).")

    def _report(self, child: Child, how: str, now: float) -> None:
        name = child.spec.name
        self._tell_guard(f"-{child.pid}")
        child.signal(signal.SIGKILL)  # what it may have left of its group
        healthy = now - child.started_s > _HEALTHY_S
        pause = 1.0 if healthy else min(self._pause_s.get(name, 0.5) * 2, _LONGEST_PAUSE_S)
        self._pause_s[name] = pause
        self._again_at[name] = now + pause
        self.say(
            f"{name} ended ({how}); it starts again in {pause:.0f} s. The end of {child.spec.log}:\n"
            f"{child.tail()}{_disk_hint(child)}"
        )

    def stop_all(self) -> None:
        """End every child: SIGTERM, its grace, then SIGKILL for the whole group.

        The one started first, on which the others stand, goes last.
        """
        children = list(self._children.values())
        for child in reversed(children[1:]):
            child.signal(signal.SIGTERM)
        for child in children[1:] + children[:1]:
            self._stop(child)
        self._children.clear()
        self._end_guard()

    def _stop(self, child: Child) -> None:
        if child.ended() is None:
            child.signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(child.spec.grace_s)
        child.signal(signal.SIGKILL)
        child.process.wait()
        self._tell_guard(f"-{child.pid}")

    def _tell_guard(self, note: str) -> None:
        assert self._guard.stdin is not None
        try:
            self._guard.stdin.write(note.encode() + b"\n")
            self._guard.stdin.flush()
        except OSError:
            self.say("The guard process is gone; kill -9 of this process may leave services behind.")

    def _end_guard(self) -> None:
        assert self._guard.stdin is not None
        with suppress(OSError):
            self._guard.stdin.close()
        self._guard.wait()


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log file, indented by four spaces."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 20_000))
            text = stream.read().decode(errors="replace")
    except OSError:
        return "    (no log)"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (empty)"


def _disk_hint(child: Child) -> str:
    text = child.tail()
    if "No space left on device" in text or "ENOSPC" in text or "disk is full" in text:
        return "\nThe disk is full: free some space; nothing that was saved is lost."
    return ""


def _keep_log_short(log: Path) -> None:
    """One older log is kept beside the current one."""
    if log.is_file() and log.stat().st_size > _LOG_KEPT_BYTES:
        log.replace(log.with_suffix(".old.log"))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _dies_with(parent: int) -> Callable[[], None] | None:
    """What the child does before exec so that the kernel kills it with its parent; Linux only."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died between fork and prctl
            os._exit(1)

    return arrange


def python_argv(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs one of our modules in this environment."""
    return (sys.executable, "-m", module, *arguments)
