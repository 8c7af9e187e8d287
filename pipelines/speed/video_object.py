"""``maskloop bench video_object``: the frame, the network and the trunk, and how they grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.progress import Track, quiet
from pipelines.speed.machine import machine
from pipelines.speed.memory import long_clip
from pipelines.speed.plan import WHOLE, Plan, Scene
from pipelines.speed.rounds import Candidate, take_turns
from pipelines.speed.stages import Engine, frame_stage, network_stage, open_engines, trunk_stage


def bench_video_object(
    weights: Path, graphs: Path, threads: list[int], plan: Plan = WHOLE, *, progress: Track = quiet
) -> dict[str, Any]:
    """All figures of one run. Milliseconds are medians, ``p95_ms`` 95th percentiles, memory is in MB.

    The engine in front is the one that ships, on the largest number of threads. ``ratio_to_trunk`` is the
    network's time by the bare trunk's in the same engine, ``frame_ratio_to_trunk`` that of the whole frame.
    """
    engines = open_engines(weights, graphs, threads)
    rows = _main_and_objects(engines, plan)
    ones = [row for row in rows if row["objects"] == plan.objects[0]]
    front = max((row for row in ones if row["engine"] == "onnx"), key=lambda row: row["threads"])
    shipped = next(e for e in engines if e.label == {k: front[k] for k in ("engine", "threads")})
    keys = ("engine", "threads", "ms_per_frame", "network_ms", "trunk_ms", "ratio_to_trunk")
    return {
        **{key: front[key] for key in keys},
        "frame_ratio_to_trunk": front["frame_ratio_to_trunk"],
        "further_object": front["further_object"],
        "frame_hw": list(plan.frame_hw),
        "weights": weights.name,
        "machine": machine(),
        "engines": ones,
        "objects": rows,
        "resolution": _resolutions(engines, plan),
        "clip_length": {
            **shipped.label,
            **_long(shipped, plan, progress),
        },
    }


def _main_and_objects(engines: list[Engine], plan: Plan) -> list[dict[str, Any]]:
    """One row per engine and number of objects, all measured in the same rounds."""
    turns: dict[str, Candidate] = {}
    for at, engine in enumerate(engines):
        turns[f"{at} trunk"] = trunk_stage(engine, plan)
        for count in plan.objects:
            scene = Scene(plan.frame_hw, count)
            turns[f"{at} network {count}"] = network_stage(engine, scene)
            turns[f"{at} frame {count}"] = frame_stage(engine, scene, plan)
    take_turns(turns, rounds=plan.rounds, laps=plan.laps, warm_up=plan.warm_up)
    rows = []
    for at, engine in enumerate(engines):
        trunk = turns[f"{at} trunk"]
        of_engine = [
            _row(engine, n, turns[f"{at} frame {n}"], turns[f"{at} network {n}"], trunk) for n in plan.objects
        ]
        for row in of_engine:
            row["further_object"] = _further(of_engine, "ms_per_frame")
            row["further_object_network"] = _further(of_engine, "network_ms")
        rows += of_engine
    return rows


def _row(
    engine: Engine, objects: int, frame: Candidate, network: Candidate, trunk: Candidate
) -> dict[str, Any]:
    return {
        **engine.label,
        "objects": objects,
        "ms_per_frame": frame.median_ms,
        "p95_ms": frame.p95_ms,
        "network_ms": network.median_ms,
        "network_p95_ms": network.p95_ms,
        "trunk_ms": trunk.median_ms,
        "trunk_p95_ms": trunk.p95_ms,
        "ratio_to_trunk": round(network.median_ms / trunk.median_ms, 3),
        "frame_ratio_to_trunk": round(frame.median_ms / trunk.median_ms, 3),
    }


def _further(rows: list[dict[str, Any]], key: str) -> float:
    """What each further object adds, as a share of the time for the first: the mean over the table."""
    first, last = rows[0], rows[-1]
    more = max(1, last["objects"] - first["objects"])
    share: float = (last[key] - first[key]) / more / first[key]
    return round(share, 4)


def _resolutions(engines: list[Engine], plan: Plan) -> list[dict[str, Any]]:
    turns: dict[str, Candidate] = {}
    height, width = plan.frame_hw
    sizes = [(rows, round(rows * width / height)) for rows in plan.rows]
    for at, engine in enumerate(engines):
        usual = engine.segmenter.short_side
        for size in sizes:
            engine.segmenter.short_side = (size[0], size[0])  # otherwise 720 rows are brought to 480
            turns[f"{at} {size[0]}"] = frame_stage(engine, Scene(size, 1), plan)
        engine.segmenter.short_side = usual
    take_turns(turns, rounds=plan.rounds, laps=plan.laps, warm_up=plan.warm_up)
    return [
        {
            **engine.label,
            "rows": size[0],
            "columns": size[1],
            "ms_per_frame": turns[f"{at} {size[0]}"].median_ms,
            "p95_ms": turns[f"{at} {size[0]}"].p95_ms,
        }
        for at, engine in enumerate(engines)
        for size in sizes
    ]


def _long(engine: Engine, plan: Plan, progress: Track) -> dict[str, Any]:
    import torch

    torch.set_num_threads(engine.threads)
    return long_clip(engine.segmenter, Scene(plan.frame_hw, 1), plan.long_clip, progress=progress)


def table(report: dict[str, Any]) -> str:
    """The report as lines for people."""
    lines = ["engine  threads  objects  trunk ms  network ms  x trunk  frame ms    p95"]
    for row in report["objects"]:
        lines.append(
            f"{row['engine']:<6}  {row['threads']:>7}  {row['objects']:>7}  {row['trunk_ms']:>8.1f}  "
            f"{row['network_ms']:>10.1f}  {row['ratio_to_trunk']:>7.2f}  {row['ms_per_frame']:>8.1f}  "
            f"{row['p95_ms']:>5.1f}"
        )
    for row in report["engines"]:
        lines.append(
            f"{row['engine']}, {row['threads']} threads: a further object adds "
            f"{100 * row['further_object']:.1f} % to a frame, {100 * row['further_object_network']:.1f} % "
            "to the network"
        )
    lines.append("\nengine  threads   rows  frame ms    p95")
    for row in report["resolution"]:
        lines.append(
            f"{row['engine']:<6}  {row['threads']:>7}  {row['rows']:>5}  {row['ms_per_frame']:>8.1f}  "
            f"{row['p95_ms']:>5.1f}"
        )
    clip = report["clip_length"]
    lines.append(
        f"\n{clip['frames']} frames: memory {clip['rss_start_mb']:.0f} MB after a tenth of them, at most "
        f"{clip['rss_max_mb']:.0f}, {clip['rss_end_mb']:.0f} at the end; "
        f"{clip['rss_slope_mb']:+.2f} MB per 1,000 frames"
    )
    return "\n".join(lines)
