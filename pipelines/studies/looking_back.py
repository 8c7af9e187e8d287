"""``maskloop study looking-back``: the switches of attention over time, each row trained separately.

Every row goes on from the same single-frame weights with the same budget, data and seeds; rows differ in the
switches alone. Switches that no weights depend on can also be changed in weights that are given.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.core.errors import BadInput
from pipelines.studies.looking_back_rows import AT_TEST, BASE, MORE_ROWS, ROWS, chosen
from pipelines.studies.plots import new_figure
from pipelines.studies.side_by_side import numbers, perform_all

if TYPE_CHECKING:
    from backends.video_semantic.scenes import Scenes
    from pipelines.studies.looking_back_at_test import Switches
    from pipelines.studies.looking_back_run import LookingBackRun

CONFIG = Path(__file__).parents[2] / "backends" / "video_semantic" / "configs" / "looking_back.json"
CHOOSING_SHARE = 0.1
"""Last share of every footage's labelled frames that is scored with ``--choosing``."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``maskloop study looking-back``."""
    file: dict[str, Any] = {"type": Path, "metavar": "FILE"}
    folder = {**file, "metavar": "DIR"}
    parser.add_argument("--data", required=True, help="footage with label maps, in a known layout", **folder)
    parser.add_argument("--start-from", help="single-frame weights that every row goes on from", **file)
    parser.add_argument("--out", required=True, help="one folder per row and seed", **folder)
    parser.add_argument("--seeds", default="0,1", metavar="A,B", help="seeds; default: 0,1")
    parser.add_argument(
        "--rows", metavar="A,B", help=f"default: {','.join(ROWS)}; besides: {','.join(MORE_ROWS)}"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="steps of every row; default: the config's")
    parser.add_argument("--config", default=CONFIG, help="default: looking_back.json", **file)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="change one value of the config of every row; may be given again",
    )
    parser.add_argument("--split", default="val", metavar="NAME", help="what is scored; default: val")
    parser.add_argument(
        "--choosing",
        action="store_true",
        help="score clips made from the last tenth of the training frames, which no row learns from",
    )
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        help="trained weights whose switches are changed without training; may be given again",
        **file,
    )
    parser.add_argument("--at-test", metavar="A,B", help=f"rows of --weights; default: {','.join(AT_TEST)}")
    parser.add_argument(
        "--parallel", type=int, default=1, metavar="N", help="rows at a time, each in its own process"
    )
    parser.add_argument("--device", help="torch device: cpu, cuda or cuda:N; default: MASKLOOP_DEVICE")
    parser.add_argument("--json", help="write the table here", **file)
    parser.add_argument("--plot", help="draw the bars into this PNG", **file)


def run(args: argparse.Namespace) -> int:
    """Train and score what is not there yet, score what is only switched; print the table."""
    from pipelines.atomic import write_json
    from pipelines.services.installation import current_settings
    from pipelines.studies.looking_back_run import perform
    from pipelines.studies.looking_back_table import draw, summarise, table

    panels = new_figure(2, width=7.0) if args.plot else None  # a missing matplotlib is said before hours pass
    device = args.device or current_settings().device
    if not args.start_from and not args.weights:
        raise BadInput("nothing to do: --start-from FILE trains rows, --weights FILE switches trained ones")
    chosen(args.at_test, "--at-test", AT_TEST, AT_TEST)  # refuses now, not behind the trainings
    runs = plan(args, device) if args.start_from else []
    scenes = scored(args)
    reports = perform_all(runs, perform, args.parallel, _line) if runs else []
    for weights in args.weights:
        reports += _at_test(args, weights, scenes, device)
    summary = summarise(reports, BASE)
    print(table(summary))
    if args.json:
        write_json(args.json, {"rows": summary, "runs": reports})
    if panels:
        draw(summary, *panels, args.plot)
    return 0


def plan(args: argparse.Namespace, device: str) -> list[LookingBackRun]:
    """All runs, seed by seed, so that a study stopped early has every row.

    Raises BadInput for unknown rows, for seeds that are no numbers, for a config that cannot be read and for
    weights to start from that look back already.
    """
    from pipelines.studies.looking_back_run import LookingBackRun, check_start
    from pipelines.train import read_config

    rows = chosen(args.rows, "--rows", ROWS, {**ROWS, **MORE_ROWS})
    seeds = numbers(args.seeds, "--seeds")
    steps = [] if args.steps is None else [f"steps={args.steps}"]
    share = choosing_share(args)
    network, notes = check_start(args.start_from, args.data, share)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    runs = []
    for seed in seeds:
        for row in rows:
            words = [*args.overrides, *steps, f"held_out={share}", *network, f"seed={seed}"]
            config = read_config(args.config, [*words, *{**ROWS, **MORE_ROWS}[row]])
            runs.append(
                LookingBackRun(
                    row,
                    seed,
                    config,
                    args.out / row / f"seed-{seed}",
                    args.data,
                    args.split,
                    args.start_from,
                    device,
                    _held_out(args),
                )
            )
    return runs


def scored(args: argparse.Namespace) -> Scenes:
    """The footage that rows are scored on; with ``--choosing`` it is made here, for all of them."""
    from pipelines.progress import bar
    from pipelines.studies.looking_back_run import scenes_to_score

    return scenes_to_score(args.data, args.split, _held_out(args), choosing_share(args), progress=bar)


def choosing_share(args: argparse.Namespace) -> float:
    """The share of training frames that is held out: what the settings say; a tenth where it is scored."""
    from pipelines.train import read_config

    given = read_config(args.config, args.overrides).get("held_out", 0.0)
    return float(given) or (CHOOSING_SHARE if args.choosing else 0.0)


def _at_test(args: argparse.Namespace, path: Path, scenes: Scenes, device: str) -> list[dict[str, Any]]:
    """The rows of one weights file; where none were named, those that its windows allow."""
    from backends.registry import version_of
    from pipelines.progress import bar
    from pipelines.scene_commands import load_for
    from pipelines.studies.looking_back_at_test import allowed, score_switched
    from pipelines.studies.looking_back_run import ALGORITHM

    if not path.is_file():
        raise BadInput(f"--weights {path}: no such file")
    weights, version = load_for(scenes, args.data, path), version_of(ALGORITHM, path)
    rows = chosen(args.at_test, "--at-test", AT_TEST, AT_TEST)
    switches: Switches = {row: AT_TEST[row] for row in rows}
    if not args.at_test:
        switches = allowed(weights.network, switches)
    told = f"held-out-{choosing_share(args)}" if args.choosing else args.split
    kept = args.out / "at-test" / told / f"{version}.json"
    return score_switched(weights, version, switches, BASE, scenes, kept, device=device, progress=bar)


def _held_out(args: argparse.Namespace) -> Path | None:
    return args.out / "held-out" if args.choosing else None


def _line(report: dict[str, Any]) -> str:
    score = report["score"]
    told = f"mIoU {_text(score['miou'])}, TC {_text(score['temporal_consistency'])}"
    return f"{report['row']}, seed {report['seed']}: {told}, {report['seconds']} s"


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
