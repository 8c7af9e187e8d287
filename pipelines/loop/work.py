"""A cycle's child process from the outside: started, listened to, ended, and its death put into words.

What needs torch and gigabytes runs there (``pipelines.loop.child``), so that a cycle survives whatever
becomes of it and can say so.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from backends.core.errors import MaskLoopError
from backends.loop.files import read_json
from backends.settings import Settings, inherited, to_env
from pipelines.loop.candidate import RECIPE
from pipelines.loop.plan import Plan
from pipelines.loop.recipe import steps_of
from pipelines.services.supervisor import python_argv
from pipelines.working.training_process import memory_kills

LOG = "log.txt"
LOOK_EVERY_S = 0.5
PATIENCE_S = 60.0
"""How long a child that is asked to end may take to write its checkpoint."""
_SECRETS = ("MASKLOOP_LABEL_STUDIO_TOKEN", "MASKLOOP_SECRET")  # nothing that a training needs
_ROOT = Path(__file__).parents[2]

Report = Callable[[int, int, str], None]
"""(done, total, stage), at least once a second; raises Cancelled to stop."""


class Failed(MaskLoopError):  # noqa: N818 - read as a noun at the raise site
    """A cycle came to no end, for a reason that can go away; the same call goes on where it was."""


class Nonsense(MaskLoopError):  # noqa: N818
    """The training turned into numbers that are none: there is no candidate, and there will be none."""


def silent(done: int, total: int, stage: str) -> None:
    """Nobody watches."""


def in_child(plan: Plan, settings: Settings, report: Report = silent) -> None:
    """Train and score what ``plan`` says in a process of its own; return when weights and scores are there.

    Raises Failed when it died or could not go on, Nonsense for a loss that is no number, and whatever
    ``report`` raises, after the child has written its checkpoint.
    """
    env = {"OMP_WAIT_POLICY": "PASSIVE"}  # threads that wait leave their core to the annotators' model
    env |= inherited() | to_env(settings) | {"PYTHONUNBUFFERED": "1"}
    env = {name: value for name, value in env.items() if name not in _SECRETS}
    argv = python_argv("pipelines.loop.child", str(plan.run), str(os.getpid()))
    kills = memory_kills()
    with (plan.run / LOG).open("ab") as log:
        process = subprocess.Popen(
            argv,
            env=env,
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C comes to us alone, and we pass it on once
        )
    ear = _Ear(plan, process, report, settings.stall_s)
    try:
        ear.listen()
    except BaseException:
        _end(process)
        raise
    finally:
        assert process.stdout is not None
        process.stdout.close()
    if (code := process.wait()) != 0:
        raise ear.in_words(code, memory_kills() > kills)


@dataclass
class _Ear:
    """What one child says, and how far it is."""

    plan: Plan
    process: subprocess.Popen[bytes]
    report: Report
    stall_s: float
    heard: bytes = b""
    now: tuple[int, int, str] = (0, 0, "training")
    trouble: dict[str, Any] = field(default_factory=dict)

    def listen(self) -> None:
        """Until it has closed its output. Raises Failed for one that shows no sign of life."""
        stream = self.process.stdout
        assert stream is not None
        os.set_blocking(stream.fileno(), False)
        seen, since = self._signs(), time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while self._hear(stream) if selector.select(LOOK_EVERY_S) else True:
                if self.now[2] == "training":
                    self.now = self._trained()
                self.report(*self.now)
                if (signs := self._signs()) != seen:
                    seen, since = signs, time.monotonic()
                elif time.monotonic() - since > self.stall_s:
                    raise Failed(
                        f"no sign of life for {self.stall_s:g} s while {self._where()}; started again it "
                        "goes on from its last checkpoint"
                    )

    def in_words(self, code: int, memory_ran_out: bool) -> MaskLoopError:
        """Why it ended with ``code`` (negative: the signal) and what would help."""
        kind, text = self.trouble.get("trouble", ""), str(self.trouble.get("text", ""))
        less = f"`maskloop policy --project {self.plan.project} --set training.batch=1`"
        kept = "the served version is untouched"
        if kind == "nonsense":
            return Nonsense(f"the training turned into nonsense: {text}")
        if kind == "memory" or (memory_ran_out and code == -signal.SIGKILL):
            said = f" ({text})" if text else ""
            return Failed(f"out of memory while {self._where()}{said}; {kept}. Ask for less at once: {less}")
        if kind == "disk":
            return Failed(
                f"the disk is full or refuses ({text}) while {self._where()}; {kept}. Free some space and "
                "start again: it goes on from its last checkpoint"
            )
        if kind == "fault" or (not kind and code > 0):
            said = text or f"status {code}"
            return Failed(f"{said} while {self._where()}; {kept}. {self.plan.run / LOG} has the details")
        if kind:
            return Failed(f"{text}; {kept}")
        return Failed(
            f"the training was killed ({_name(-code)}) while {self._where()}, most likely for want of "
            f"memory; {kept}. Start again to go on from its last checkpoint, or ask for less at once: {less}"
        )

    def _hear(self, stream: IO[bytes]) -> bool:
        """Whether there may be more to come."""
        data = stream.read(65536)
        if data is None:
            return True
        self.heard += data
        *lines, self.heard = self.heard.split(b"\n")
        for line in lines:
            with suppress(ValueError):  # not ours: a library that prints
                said = json.loads(line)
                if "trouble" in said:
                    self.trouble = said
                elif "stage" in said:
                    self.now = (int(said["done"]), int(said["total"]), str(said["stage"]))
        return bool(data)

    def _trained(self) -> tuple[int, int, str]:
        """Steps by the training's own logs."""
        recipe = read_json(self.plan.run / RECIPE)
        if not recipe:
            return self.now
        total = steps_of(recipe, self.plan.algorithm, tuned=bool(self.plan.start_from))
        logs = [*self.plan.run.glob("metrics.jsonl"), *self.plan.run.glob("*/metrics.jsonl")]
        return sum(log.read_bytes().count(b"\n") for log in logs), total, "training"

    def _signs(self) -> tuple[object, ...]:
        return (self.now, _processor_ticks(self.process.pid))

    def _where(self) -> str:
        done, total, stage = self.now
        return f"{stage}, {done} of {total} done" if total else stage


def _processor_ticks(pid: int) -> int:
    """Of user and system time; 0 where this cannot be told."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end as Ctrl-C does; a checkpoint is written on the way. Kill it when it takes too long."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        pass
    finally:  # a second Ctrl-C too
        process.kill()
        process.wait()


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
