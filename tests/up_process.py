"""A real ``maskloop up`` for tests: a process of its own on a folder of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from backends.settings import Settings, from_env
from pipelines.services import installation

ROOT = Path(__file__).resolve().parents[1]
READY = "MaskLoop is ready"


class UpProcess:
    """``maskloop up`` on ``data_dir``; what it prints is in ``output``."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.process: subprocess.Popen[bytes] | None = None
        self._out = data_dir.with_name(data_dir.name + ".out")

    @property
    def output(self) -> str:
        return self._out.read_text(errors="replace")

    @property
    def settings(self) -> Settings:
        """As any other command on the same folder sees them."""
        return installation.effective(from_env(self.env()), frozenset({"data_dir"}))

    def env(self, **extra: str) -> dict[str, str]:
        """The environment without what the person at the keyboard set for MaskLoop."""
        clean = {name: text for name, text in os.environ.items() if not name.startswith("MASKLOOP_")}
        return clean | {"MASKLOOP_DATA_DIR": str(self.data_dir)} | extra

    def start(self, *arguments: str, **extra: str) -> None:
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipelines.cli", "up", *arguments],
                env=self.env(**extra),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def ensure_ready(self) -> UpProcess:
        """Start unless it runs, and wait until everything is ready."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        self.wait_for(READY)
        return self

    def wait_for(self, text: str, limit_s: float = 300.0) -> None:
        def said() -> bool:
            assert self.process is not None
            found = text in self.output
            assert found or self.process.poll() is None, f"ended:\n{self.output}"
            return found

        wait_until(said, limit_s, lambda: f"{text!r} was not said:\n{self.output}")

    def stop(self) -> int:
        """Ctrl-C; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def end(self) -> None:
        """Whatever state it is in: nothing of it runs afterwards."""
        if self.process is not None and self.process.poll() is None:
            self.stop()
        for left in self.family():
            left.kill()

    def family(self) -> list[psutil.Process]:
        """All living processes that work on this folder, wherever they hang in the process tree."""
        mark, found = str(self.data_dir), []
        for process in psutil.process_iter():
            try:
                words = [*process.cmdline(), *process.environ().values()]
                if any(mark in word for word in words) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return [process for process in found if process.pid != os.getpid()]

    def run(self, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Another command on the same folder."""
        return subprocess.run(
            [sys.executable, "-m", "pipelines.cli", *words],
            env=self.env(**extra),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )


def wait_until(condition: Callable[[], bool], limit_s: float, complaint: Callable[[], str]) -> None:
    """Poll a condition; AssertionError with the complaint when the limit passes."""
    ends = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < ends, complaint()
        time.sleep(0.05)
