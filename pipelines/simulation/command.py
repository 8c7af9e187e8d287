"""``maskloop simulate``: its options, and what it prints."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backends.registry import Served
    from backends.settings import Settings
    from pipelines.simulation.plan import Simulation


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of ``maskloop simulate``."""
    command.add_argument("algorithm", help="whose loop: video_object or video_semantic")
    command.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="DAVIS layout, or labelled footage"
    )
    what = "with commas between; NAME:FROM-TO takes some frames of one"
    command.add_argument(
        "--loop", required=True, metavar="A,B", help=f"videos to label and learn from, {what}"
    )
    command.add_argument("--test", required=True, metavar="C,D", help="videos that are never learnt from")
    command.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="what is done is kept here and not done again"
    )
    command.add_argument(
        "--split", default="val", metavar="NAME", help="video_semantic: which footage; default: val"
    )
    command.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="trainings, one after the other; default: 3"
    )
    command.add_argument(
        "--strategies", default="propose,random,even", metavar="A,B", help="default: propose,random,even"
    )
    command.add_argument(
        "--target", type=float, metavar="J", help="points a clip has to reach; default: 90 (mean IoU: 75)"
    )
    command.add_argument(
        "--corrections",
        type=int,
        default=10,
        metavar="N",
        help="most frames to correct of a clip; default: 10",
    )
    command.add_argument(
        "--every", type=int, default=1, metavar="N", help="take every N-th frame only; default: 1"
    )
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of trainings and lots; default: 0")
    command.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="random orders to average over; default: 3"
    )
    command.add_argument(
        "--retrain",
        choices=("propose", "each"),
        default="propose",
        help="propose: one loop, the others are counted with its versions; each: a loop for every strategy",
    )
    command.add_argument(
        "--held-out",
        choices=("accepted", "exact"),
        default="accepted",
        help="how clips that judge are handed in: like all others, or every frame as it truly is",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="a field of the policy, or training.NAME for a training setting; VALUE in JSON",
    )
    command.add_argument(
        "--weights", type=Path, metavar="FILE", help="to begin with; default: what is served"
    )
    command.add_argument("--device", help="torch device: cpu, cuda or cuda:N; default: MASKLOOP_DEVICE")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the whole report here")
    command.add_argument("--plot", type=Path, metavar="FILE", help="draw it here, as PNG")


def run(args: argparse.Namespace) -> int:
    """Go through what is not done yet; print a table."""
    from dataclasses import replace

    from backends.catalogue import ALGORITHMS
    from pipelines.atomic import write_json
    from pipelines.loop_commands import Bars
    from pipelines.progress import clip_bar
    from pipelines.services.installation import current_settings
    from pipelines.simulation.drawing import draw, panels
    from pipelines.simulation.report import table
    from pipelines.simulation.run import simulate
    from pipelines.simulation.track import Around

    figure = panels() if args.plot else None  # a missing matplotlib is said before hours pass
    simulation, settings = plan(args), current_settings()
    settings = replace(settings, device=args.device or settings.device)
    begin, load = first_version(args, settings), ALGORITHMS[simulation.algorithm].load
    with Bars() as report:
        around = Around(progress=clip_bar, report=report, say=_say)
        found = simulate(simulation, args.out, settings, begin, load, around)
    print(table(found))
    if args.json:
        write_json(args.json, found)
    if figure is not None:
        draw(found, figure, args.plot)
    return 0


def plan(args: argparse.Namespace) -> Simulation:
    """What the arguments ask for. Raises BadInput."""
    from backends.loop.policy import Policy
    from pipelines.simulation.plan import TARGETS, Simulation, names

    return Simulation(
        args.algorithm,
        args.data,
        names(args.loop, "--loop"),
        names(args.test, "--test"),
        args.split,
        args.rounds,
        names(args.strategies, "--strategies"),
        TARGETS.get(args.algorithm, 0.0) if args.target is None else args.target,
        args.corrections,
        args.every,
        args.seed,
        args.seeds,
        args.retrain,
        args.held_out,
        Policy(promote="auto", seed=args.seed).changed(args.overrides),
    )


def first_version(args: argparse.Namespace, settings: Settings) -> Served:
    """Of ``--weights``, or what the installation serves. Raises BadInput or SetupFault."""
    from backends.core.errors import BadInput
    from backends.registry import Registry, Served, version_of

    if args.weights is None:
        return Registry(settings.models_dir).served(args.algorithm)
    if not args.weights.is_file():
        raise BadInput(f"--weights {args.weights}: no such file")
    return Served(version_of(args.algorithm, args.weights), args.weights)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
