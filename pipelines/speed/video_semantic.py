"""``maskloop bench video_semantic``: what looking back costs over single frames, and how it grows."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from backends.video_semantic.complexity import Cost
from backends.video_semantic.networks import SceneNetwork
from pipelines.progress import Track, quiet
from pipelines.speed.machine import machine
from pipelines.speed.rounds import Candidate, take_turns
from pipelines.speed.scene_growth import beside_full, growth
from pipelines.speed.scene_memory import peaks_mb
from pipelines.speed.scene_stages import WHOLE, FrameLaps, ScenePlan, count_macs, networks_of

TARGET = 0.25
"""What looking back may cost over the single-frame network, at T = 7 and rho = .5."""


def bench_video_semantic(
    weights: Path | None, threads: list[int], plan: ScenePlan = WHOLE, *, progress: Track = quiet
) -> dict[str, Any]:
    """All figures of one run: medians in ms, ``p95_ms`` 95th percentiles, memory in MB (10^6 bytes).

    ``overhead`` is what a frame costs more than in the single-frame network of the same weights, both through
    a stream whose past is full, from pixels to class ids. Growth and full attention run on the largest number
    of ``threads``. MACs of the attention follow the formulas; those of the networks are counted.
    """
    begun = time.monotonic()
    networks = networks_of(weights, plan)
    parts: dict[str, Callable[[], dict[str, Any]]] = {}
    for count in threads:
        for name, network in networks.items():
            parts[f"{name} {count}"] = partial(_configuration, name, network, count, plan)
    parts |= {f"memory {name}": partial(peaks_mb, name, plan.frame_hw) for name in networks}
    parts |= {"growth": partial(growth, plan, max(threads)), "full": partial(_full, plan, max(threads))}
    found = {name: parts[name]() for name in progress(list(parts), total=len(parts), label="benchmark")}
    rows = [found[f"{name} {count}"] | found[f"memory {name}"] for count in threads for name in networks]
    return {
        "weights": weights.name if weights else "untrained",
        "machine": machine(),
        "frame_hw": list(plan.frame_hw),
        "temporal": plan.usual.as_dict(),
        "target_overhead": TARGET,
        "configurations": rows,
        "growth": found["growth"],
        "beside_full": found["full"]["sizes"],
        "seconds": round(time.monotonic() - begun),
    }


def _full(plan: ScenePlan, threads: int) -> dict[str, Any]:
    return {"sizes": beside_full(plan, threads)}


def _configuration(encoder: str, network: SceneNetwork, threads: int, plan: ScenePlan) -> dict[str, Any]:
    """One network on so many threads; its two ways of answering take turns."""
    torch.set_num_threads(threads)
    temporal = network.temporal
    assert temporal is not None
    config, rho = temporal.config, temporal.rho or plan.usual.rho
    looking, alone = FrameLaps(network, plan.frame_hw, rho), FrameLaps(network, plan.frame_hw, 0.0)
    turns = {"looking": Candidate(looking), "alone": Candidate(alone)}
    rounds, laps = (2, 1) if encoder in plan.slow else (plan.rounds, plan.laps)
    for _ in range(config.frames):
        looking()  # until its past is full
    take_turns(turns, rounds=rounds, laps=laps, warm_up=1)
    cost = Cost(config, network.channels, *looking.grid)
    single_macs = count_macs(network, alone)
    ms, single_ms = turns["looking"].median_ms, turns["alone"].median_ms
    return {
        "encoder": encoder,
        "threads": threads,
        "channels": network.channels,
        "width": cost.width,
        "grid": list(looking.grid),
        "ms_per_frame": ms,
        "p95_ms": turns["looking"].p95_ms,
        "single_ms": single_ms,
        "single_p95_ms": turns["alone"].p95_ms,
        "overhead": round(ms / single_ms - 1, 4),
        "macs": cost.total,
        "single_macs": single_macs,
        "macs_overhead": round(cost.total / single_macs, 4),
        "kept_mb": round(looking.kept_mb, 2),
    }
