"""``maskloop bench``: what the words of the command line mean for each algorithm."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput, SetupFault
from backends.registry import Registry
from pipelines.atomic import write_json
from pipelines.progress import bar
from pipelines.services.installation import current_settings


def bench(args: Namespace) -> int:
    """Time ``args.algorithm``, print a table, write ``args.json``."""
    if args.algorithm not in _BENCHES:
        raise BadInput(f"{args.algorithm!r} cannot be timed; known: {', '.join(_BENCHES)}")
    if not all(word.isdigit() and int(word) > 0 for word in args.threads.split(",")):
        raise BadInput(f"--threads {args.threads}: wants numbers of threads with commas between, as in 1,2")
    if args.plot and args.algorithm not in _DRAW:
        raise BadInput(
            f"--plot {args.plot}: {args.algorithm} draws nothing; {' and '.join(_DRAW)} draw their growth"
        )
    if args.weights and not args.weights.is_file():
        raise BadInput(f"--weights {args.weights}: no such file")
    report = _BENCHES[args.algorithm](args, [int(word) for word in args.threads.split(",")])
    if args.json:
        write_json(args.json, report)
    return 0


def _video_object(args: Namespace, threads: list[int]) -> dict[str, Any]:
    from pipelines.speed import plan, video_object

    settings = current_settings()
    weights: Path = args.weights or Registry(settings.models_dir).served("video_object").weights
    sizes = plan.QUICK if args.quick else plan.WHOLE
    report = video_object.bench_video_object(weights, settings.graphs_dir, threads, sizes, progress=bar)
    print(video_object.table(report))
    return report


def _weak_shot(args: Namespace, threads: list[int]) -> dict[str, Any]:
    """Without weights, networks that were never trained stand in: they take as long."""
    from pipelines.speed import growth_plot, weak_shot
    from pipelines.studies.plots import new_figure

    if args.plot:
        new_figure(1)  # refuses now, not behind the run, where matplotlib is missing
    sizes = weak_shot.QUICK if args.quick else weak_shot.WHOLE
    report = weak_shot.bench_weak_shot(args.weights or _served("weak_shot"), threads, sizes, progress=bar)
    print(weak_shot.table(report))
    if args.plot:
        growth_plot.draw_growth(report, args.plot)
    return report


def _video_semantic(args: Namespace, threads: list[int]) -> dict[str, Any]:
    """Without weights, networks that were never trained stand in here too."""
    from pipelines.speed import scene_plot, scene_stages, scene_table, video_semantic
    from pipelines.studies.plots import new_figure

    if args.plot:
        new_figure(1)
    sizes = scene_stages.QUICK if args.quick else scene_stages.WHOLE
    weights = args.weights or _served("video_semantic")
    report = video_semantic.bench_video_semantic(weights, threads, sizes, progress=bar)
    print(scene_table.table(report))
    if args.plot:
        scene_plot.draw_growth(report, args.plot)
    return report


def _served(algorithm: str) -> Path | None:
    try:
        weights = Registry(current_settings().models_dir).served(algorithm).weights
    except (BadInput, SetupFault):
        return None
    return weights if weights.is_file() else None


_BENCHES = {"video_object": _video_object, "weak_shot": _weak_shot, "video_semantic": _video_semantic}
_DRAW = ("weak_shot", "video_semantic")
