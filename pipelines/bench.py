"""``make bench``: how long the first start, a warm restart and the end of `maskloop up` take here.

Writes ``build/bench.json``. The services are the real ones, in a folder of their own; others are left alone.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from backends.core.errors import SetupFault
from backends.settings import inherited
from pipelines.atomic import write_json

_READY = "MaskLoop is ready"
_LIMIT_S = 900.0
_ROOT = Path(__file__).parents[1]


def main() -> int:
    """Measure, print and write; returns the exit status."""
    with tempfile.TemporaryDirectory(prefix="maskloop-bench-") as folder:
        data_dir = Path(folder) / "data"
        first_s, stop_s = start_and_stop(data_dir)
        print(f"first start      {first_s:6.1f} s", flush=True)
        restart_s, _ = start_and_stop(data_dir)
        print(f"warm restart     {restart_s:6.1f} s   (the aim is 25 s)\nend with Ctrl-C  {stop_s:6.1f} s")
    report = {
        "first_start_s": round(first_s, 1),
        "warm_restart_s": round(restart_s, 1),
        "stop_s": round(stop_s, 1),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    write_json(_ROOT / "build" / "bench.json", report)
    return 0


def start_and_stop(data_dir: Path) -> tuple[float, float]:
    """Seconds from the command to the ready screen, and from Ctrl-C to its end.

    Raises SetupFault with what it printed when it does not get ready.
    """
    out = data_dir.with_name("up.out")
    env = inherited() | {"MASKLOOP_DATA_DIR": str(data_dir)}
    begun = time.monotonic()
    with out.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli", "up"],
            cwd=_ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        _await_ready(process, out, begun + _LIMIT_S)
        ready = time.monotonic()
    finally:
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(60)
    return ready - begun, time.monotonic() - asked


def _await_ready(process: subprocess.Popen[bytes], out: Path, until: float) -> None:
    while _READY not in (said := out.read_text(errors="replace")):
        if process.poll() is not None or time.monotonic() > until:
            raise SetupFault(f"maskloop up did not get ready; it said:\n{said}")
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
