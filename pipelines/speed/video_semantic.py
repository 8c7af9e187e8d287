"""``maskloop bench video_semantic``: what looking back costs over single frames, and how it grows."""

from __future__ import annotations

from collections.abc import Callable
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


def bench_video_semantic(
    weights: Path | None, threads: list[int], plan: ScenePlan = WHOLE, *, progress: Track = quiet
) -> dict[str, Any]:
    """All figures of one run: medians in ms, ``p95_ms`` 95th percentiles, memory in MB (10^6 bytes).

    ``overhead`` is what a frame costs more than in the single-frame network of the same weights, both through
    a stream whose past is full, from pixels to class ids. Growth and full attention run on the largest number
    of ``threads``. MACs of the attention follow the formulas; those of the networks are counted.
    """
    networks = networks_of(weights, plan)
    parts: list[Callable[[], dict[str, Any]]] = [
        lambda count=count: {f"configurations {count}": _configurations(networks, count, plan)}  # type: ignore[misc]
        for count in threads
    ]
    parts += [lambda: {"growth": growth(plan)}, lambda: {"beside_full": beside_full(plan)}]
    parts.append(lambda: {"memory": {name: peaks_mb(name, plan.frame_hw) for name in plan.encoders}})
    found: dict[str, Any] = {}
    for part in progress(parts, total=len(parts), label="benchmark"):
        found |= part()
    return {
        "weights": weights.name if weights else "untrained",
        "machine": machine(),
        "frame_hw": list(plan.frame_hw),
        "temporal": plan.usual.as_dict(),
        "configurations": [
            row | found["memory"].get(row["encoder"], {})
            for count in threads
            for row in found[f"configurations {count}"]
        ],
        "growth": found["growth"] | {"threads": max(threads)},
        "beside_full": found["beside_full"],
    }


def _configurations(networks: dict[str, SceneNetwork], threads: int, plan: ScenePlan) -> list[dict[str, Any]]:
    """One row per network; its two ways of answering take turns."""
    torch.set_num_threads(threads)
    return [_configuration(name, network, threads, plan) for name, network in networks.items()]


def _configuration(encoder: str, network: SceneNetwork, threads: int, plan: ScenePlan) -> dict[str, Any]:
    temporal = network.temporal
    assert temporal is not None
    config, rho = temporal.config, temporal.rho or plan.usual.rho
    looking, alone = FrameLaps(network, plan.frame_hw, rho), FrameLaps(network, plan.frame_hw, 0.0)
    turns = {"looking": Candidate(looking), "alone": Candidate(alone)}
    rounds, laps = (2, 1) if encoder in plan.slow else (plan.rounds, plan.laps)
    take_turns(turns, rounds=rounds, laps=laps, warm_up=config.frames + 1)
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


def table(report: dict[str, Any]) -> str:
    """The report as lines for people."""
    height, width = report["frame_hw"]
    usual = report["temporal"]
    lines = [
        f"frames of {width}x{height}, T = {usual['frames']}, rho = {usual['rho']}",
        "network       threads  single ms  looking back    p95  overhead  in MACs  kept MB  peak MB (single)",
    ]
    for row in report["configurations"]:
        peaks = f"{row['peak_mb']:.0f} ({row['peak_single_mb']:.0f})" if "peak_mb" in row else ""
        lines.append(
            f"{row['encoder']:<12}  {row['threads']:>7}  {row['single_ms']:>9.1f}  "
            f"{row['ms_per_frame']:>12.1f}  {row['p95_ms']:>5.0f}  "
            f"{100 * row['overhead']:>6.1f} %  {100 * row['macs_overhead']:>6.1f} %  "
            f"{row['kept_mb']:>7.1f}  {peaks:>16}"
        )
    lines.append("\nattention alone     sparse ms    full ms  x faster  sparse GMAC  full GMAC  x fewer")
    lines += [
        f"{row['rows']:>4} x {row['columns']:<4} cells  {row['sparse_ms']:>12.1f}  {row['full_ms']:>9.1f}  "
        f"{row['times_faster']:>8.1f}  {row['sparse_macs'] / 1e9:>11.3f}  {row['full_macs'] / 1e9:>9.2f}  "
        f"{row['times_fewer_macs']:>7.1f}"
        for row in report["beside_full"]
    ]
    lines.append("\n  T    cells   rho   n_k  module ms  attention ms   GMAC")
    for name in ("frames", "cells", "rho"):
        lines += [_growth_line(row) for row in report["growth"][name]] + [""]
    lines.append(
        f"the module's time grows with the cells to the power {report['growth']['time_exponent']:.2f}, "
        f"its MACs {report['growth']['macs_exponent']:.2f}"
    )
    return "\n".join(lines)


def _growth_line(row: dict[str, Any]) -> str:
    return (
        f"{row['frames']:>3}  {row['cells']:>7}  {row['rho']:>4.2f}  {row['n_keys']:>4}  {row['ms']:>9.1f}  "
        f"{row['attention_ms']:>12.1f}  {row['macs'] / 1e9:>5.3f}"
    )
