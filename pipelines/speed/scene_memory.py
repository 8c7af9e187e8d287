"""Peak memory of one network on one size, in a process of its own: what others held does not count."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from backends.core.errors import SetupFault

_FRAMES = 10  # more than T, so that the past is full


def peaks_mb(encoder: str, frame_hw: tuple[int, int]) -> dict[str, Any]:
    """Peak MB (10^6 bytes) with and without attention over time. Raises SetupFault when a run fails."""
    alone, looking_back = (_peak(encoder, frame_hw, rho) for rho in (0.0, 0.5))
    return {"peak_single_mb": alone, "peak_mb": looking_back, "further_mb": round(looking_back - alone, 1)}


def _peak(encoder: str, frame_hw: tuple[int, int], rho: float) -> float:
    words = [encoder, *(str(side) for side in frame_hw), str(rho)]
    run = subprocess.run(
        [sys.executable, "-m", "pipelines.speed.scene_memory", *words], capture_output=True, text=True
    )
    if run.returncode:
        raise SetupFault(f"memory of {encoder} could not be measured: {run.stderr.strip()[-300:]}")
    return float(json.loads(run.stdout)["peak_mb"])


def main(words: list[str]) -> int:
    """``ENCODER ROWS COLUMNS RHO``: run a few frames, print this process's peak."""
    from pipelines.speed.scene_stages import FrameLaps, ScenePlan, network_of

    encoder, rows, columns, rho = words[0], int(words[1]), int(words[2]), float(words[3])
    lap = FrameLaps(network_of(encoder, ScenePlan().usual), (rows, columns), rho)
    for _ in range(_FRAMES):
        lap()
    print(json.dumps({"peak_mb": round(_high_water_mb(), 1)}))
    return 0


def _high_water_mb() -> float:
    """The most this process ever held, MB."""
    status = Path("/proc/self/status")
    if status.is_file():  # what the system counts for getrusage begins with the parent's peak on Linux
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
