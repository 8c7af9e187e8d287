"""The network's graphs: exported once by a process of its own, which alone loads torch, then kept on disk."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from functools import partial
from pathlib import Path

from backends.clicks.learned import LearnedClicks
from backends.core.errors import SetupFault
from backends.engines.onnx import cached_graph, open_session

WEIGHTS = Path(__file__).parent / "weights" / "weights.safetensors"
PARTS = ("frame", "head")
EXPORT_S = 300.0  # an export takes about 5 s
# a change here makes other graphs of the same weights
_MADE_FROM = ("network.py", "export.py", "../trunks/mobilenet_v2.py", "../trunks/resnet.py")


def open_learned(folder: Path, threads: int, weights: Path = WEIGHTS) -> LearnedClicks:
    """The network in ``weights`` with its graphs in ``folder``, made where they are missing.

    Raises SetupFault when there are no weights, when the export fails (torch missing, other weights) and when
    ONNX Runtime is missing.
    """
    if not weights.is_file():
        raise SetupFault(f"{weights} is not there: train it with `maskloop train clicks`")
    name = fingerprint(weights)
    sessions = []
    for part in PARTS:
        path = cached_graph(folder, f"clicks-{part}-{name}.onnx", partial(_export, part, weights))
        sessions.append(open_session(path, threads))
    return LearnedClicks(*sessions)


def fingerprint(weights: Path) -> str:
    """12 hex characters that change with the weights and with the code that makes graphs of them."""
    found = hashlib.sha256(weights.read_bytes())
    for source in _MADE_FROM:
        found.update((Path(__file__).parent / source).read_bytes())
    return found.hexdigest()[:12]


def _export(part: str, weights: Path, out: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "backends.clicks.export",
        part,
        str(weights.resolve()),
        str(out.resolve()),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=EXPORT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise SetupFault(f"exporting the {part} graph of clicks took more than {EXPORT_S:.0f} s") from error
    if done.returncode != 0 or not out.is_file():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SetupFault(f"exporting the {part} graph of clicks failed: {last}")
