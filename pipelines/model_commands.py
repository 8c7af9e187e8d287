"""Commands around a model: propagate, train, calibrate, evaluate, study, quantise, bench.

Imports stand inside the functions, so that ``maskloop --help`` does not wait for torch.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from backends.core.errors import BadInput
from backends.settings import Settings
from pipelines.services.installation import current_settings

if TYPE_CHECKING:
    from backends.core.types import Segmenter


def propagate(args: Namespace) -> int:
    """``maskloop propagate``"""
    from pipelines.progress import bar
    from pipelines.propagate_files import propagate_files

    settings = current_settings()
    report = propagate_files(
        lambda: load_segmenter("video_object", args, settings),
        args.frames,
        args.masks,
        args.out,
        progress=bar,
        max_pixels=settings.max_image_pixels,
    )
    for note in report["notes"]:
        print(f"note: {args.frames}: {note}", file=sys.stderr)
    print(
        f"{len(report['frames'])} masks in {args.out}, {report['ms_per_frame']:.0f} ms per frame, "
        f"by {report['version']}"
    )
    return 0


def train(args: Namespace) -> int:
    """``maskloop train``"""
    if args.project is not None or args.novel:
        from pipelines.weak_shot_project.command import train_project

        return train_project(args)
    if args.data is None or args.out is None:
        raise BadInput("train wants --data DIR and --out DIR, or --project P instead")
    from pipelines.train import train as run

    weights = run(
        args.algorithm,
        data=args.data,
        out=args.out,
        config=args.config,
        overrides=args.overrides,
        trunk=args.trunk,
        start_from=args.start_from,
        stills=args.stills,
        device=args.device or current_settings().device,
        fresh=args.fresh,
        fold=args.fold,
    )
    from backends.training.distributed import leads

    if leads():
        print(f"weights: {weights}")
    return 0


def evaluate(args: Namespace) -> int:
    """``maskloop evaluate``"""
    if args.algorithm == "weak_shot":
        from pipelines.weak_shot_commands import evaluate as evaluate_weak_shot

        return evaluate_weak_shot(args)
    if args.algorithm == "video_semantic":
        from pipelines.scene_commands import evaluate as evaluate_scenes

        return evaluate_scenes(args)
    from pipelines.atomic import write_json
    from pipelines.evaluate import evaluate_video_object, table
    from pipelines.progress import bar

    wanted = [name for name in (args.sequences or "").split(",") if name]
    report = evaluate_video_object(
        load_segmenter(args.algorithm, args, current_settings()),
        args.data,
        wanted or None,
        masks_out=args.masks_out,
        progress=bar,
    )
    print(table(report))
    if args.json:
        write_json(args.json, report)
    return 0


def pseudo_label(args: Namespace) -> int:
    """``maskloop pseudo-label``"""
    from pipelines.weak_shot_commands import pseudo_label as run

    return run(args)


def calibrate(args: Namespace) -> int:
    """``maskloop calibrate``"""
    from backends.registry import Registry
    from backends.video_object.confidence import SIGNALS
    from pipelines import calibrate as calibration
    from pipelines.atomic import write_json
    from pipelines.media import davis
    from pipelines.progress import bar

    settings = current_settings()
    names = [name for name in (args.sequences or "").split(",") if name]
    sequences = [davis.open_sequence(args.data, name) for name in davis.choose(args.data, names or None)]
    segmenter = load_segmenter(args.algorithm, args, settings)
    found = calibration.report(calibration.samples_of(segmenter, sequences, progress=bar), SIGNALS)
    print(calibration.table(found))
    calibration.write(
        args.weights or Registry(settings.models_dir).served(args.algorithm).weights, found, args.out
    )
    print(f"weights with this confidence: {args.out}")
    if args.json:
        write_json(args.json, found)
    return 0


def study(args: Namespace) -> int:
    """``maskloop study``"""
    from pipelines.studies import run_study

    return run_study(args)


def quantise(args: Namespace) -> int:
    """``maskloop quantise``"""
    from pipelines.quantise import quantise as run

    out = args.out or args.weights.with_name("int8.json")
    names = [name for name in args.sequences.split(",") if name]
    count = run(
        args.algorithm,
        data=args.data,
        sequences=names,
        weights=args.weights,
        out=out,
        frames=args.frames,
    )
    print(f"ranges of {count} frames in {out}; beside their weights they serve MASKLOOP_ENGINE=int8")
    return 0


def bench(args: Namespace) -> int:
    """``maskloop bench``"""
    from pipelines.speed import commands

    return commands.bench(args)


def load_segmenter(algorithm: str, args: Namespace, settings: Settings) -> Segmenter:
    """The network of ``args.weights``, or the served version, on ``args.device``, or the settings' device.

    Raises BadInput for an unknown algorithm or a missing file.
    """
    from backends.catalogue import ALGORITHMS
    from backends.registry import Registry, Served, version_of

    if algorithm not in ALGORITHMS:
        raise BadInput(f"unknown algorithm {algorithm!r}; known: {', '.join(sorted(ALGORITHMS))}")
    weights: Path | None = args.weights
    if weights is not None and not weights.is_file():
        raise BadInput(f"--weights {weights}: no such file")
    if weights is None:
        served = Registry(settings.models_dir).served(algorithm)
    else:
        served = Served(version_of(algorithm, weights), weights)
    chosen = replace(settings, device=args.device or settings.device)
    return ALGORITHMS[algorithm].load(served.weights, chosen, served.version)
