"""Memory over a long clip: it must not grow with the frames that have passed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from backends.core.types import Segmenter
from pipelines.progress import Track, quiet
from pipelines.speed.plan import Scene


def resident_mb() -> float:
    """What this process holds in memory, in MB (10^6 bytes); NaN where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return float("nan")
    return pages * 4096 / 1e6


def long_clip(
    segmenter: Segmenter, scene: Scene, n_frames: int, *, progress: Track = quiet
) -> dict[str, Any]:
    """Carry one clip and look at the memory after every frame; the first tenth is warm-up.

    ``rss_slope_mb`` is the growth per 1,000 frames, by least squares.
    """
    held, laps = [], []
    begun = time.perf_counter()
    stream = segmenter.segment(scene.clip(n_frames), scene.prompts())
    for _ in progress(stream, total=n_frames, label=f"{n_frames} frames"):
        held.append(resident_mb())
        now = time.perf_counter()
        laps.append((now - begun) * 1000.0)
        begun = now
    counted = np.array(held[n_frames // 10 :])
    slope = float(np.polyfit(np.arange(len(counted)), counted, 1)[0]) * 1000.0
    quarter = max(1, len(laps) // 4)
    return {
        "frames": n_frames,
        "rss_start_mb": round(float(counted[0]), 1),
        "rss_max_mb": round(float(counted.max()), 1),
        "rss_end_mb": round(float(counted[-1]), 1),
        "rss_slope_mb": round(slope, 3),
        "ms_per_frame_first_quarter": round(float(np.median(laps[1 : quarter + 1])), 3),
        "ms_per_frame_last_quarter": round(float(np.median(laps[-quarter:])), 3),
    }
