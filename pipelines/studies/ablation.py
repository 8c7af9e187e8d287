"""``maskloop study ablation``: the network's parts switched off and on, each row trained separately.

Every row has the same budget, the same data and the same seeds; rows differ in the switches alone (svb: the
template made isometric; lc: local correlation; co: centre offset).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput
from pipelines.studies.ablation_run import AblationRun, perform
from pipelines.studies.ablation_table import draw, summarise, table
from pipelines.studies.plots import new_figure
from pipelines.studies.side_by_side import numbers, perform_all

# row -> the network's switches. lc+co+svb is the whole method; with co=aux centres are learned but not used.
ROWS: dict[str, dict[str, str]] = {
    "none": {"lc": "off", "co": "off", "svb": "off"},
    "lc": {"lc": "top4", "co": "off", "svb": "off"},
    "lc+co": {"lc": "top4", "co": "fuse", "svb": "off"},
    "svb": {"lc": "off", "co": "off", "svb": "eigh"},
    "lc+svb": {"lc": "top4", "co": "off", "svb": "eigh"},
    "lc+svb+co=aux": {"lc": "top4", "co": "aux", "svb": "eigh"},
    "lc+co+svb": {"lc": "top4", "co": "fuse", "svb": "eigh"},
}
# The whole method on other data.
DATA_ROWS: dict[str, list[str]] = {
    "without composites": ["sample.paste=0"],
    "with stills": ["sample.still=0.4"],
}
# Trained with, scored without: the decoder knows one kind of similarities, so this is expected to fail.
AT_TEST: dict[str, dict[str, str]] = {"lc+co+svb": {"svb": "off"}}
CONFIG = Path(__file__).parents[2] / "backends" / "video_object" / "configs" / "ablation.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``maskloop study ablation``."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data in the DAVIS layout")
    parser.add_argument("--trunk", type=Path, metavar="FILE", help="ImageNet weights of the trunk")
    parser.add_argument(
        "--stills", type=Path, metavar="DIR", help="photos with label maps, for the row 'with stills'"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="one folder per row and seed")
    parser.add_argument("--seeds", default="0,1", metavar="A,B", help="seeds; default: 0,1")
    parser.add_argument("--steps", type=int, metavar="N", help="steps of every row; default: the config's")
    parser.add_argument("--rows", metavar="A,B", help=f"default: {','.join(ROWS)}")
    parser.add_argument("--config", type=Path, default=CONFIG, metavar="FILE", help="default: ablation.json")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="change one value of the config of every row; may be given again",
    )
    parser.add_argument(
        "--short-side", type=int, default=240, metavar="N", help="rows at which is scored; default: 240"
    )
    parser.add_argument(
        "--parallel", type=int, default=1, metavar="N", help="rows at a time, each in its own process"
    )
    parser.add_argument("--device", help="torch device: cpu, cuda or cuda:N; default: MASKLOOP_DEVICE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table here")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the bars into this PNG")


def run(args: argparse.Namespace) -> int:
    """Train and score what is not there yet; print the table."""
    from pipelines.atomic import write_json
    from pipelines.services.installation import current_settings

    panels = new_figure(2, width=7.0) if args.plot else None  # a missing matplotlib is said before hours pass
    runs = plan(args, args.device or current_settings().device)
    reports = perform_all(runs, perform, args.parallel, _line)
    summary = summarise(reports)
    print(table(summary))
    if args.json:
        write_json(args.json, {"rows": summary, "runs": reports})
    if panels:
        draw(summary, *panels, args.plot)
    return 0


def plan(args: argparse.Namespace, device: str) -> list[AblationRun]:
    """All runs, seed by seed, so that a study stopped early has every row.

    Raises BadInput for unknown rows, for seeds that are no numbers and for a config that cannot be read.
    """
    from pipelines.train import read_config

    rows = _chosen(args.rows)
    steps = [] if args.steps is None else [f"steps={args.steps}"]
    runs = []
    for seed in numbers(args.seeds, "--seeds"):
        for row in rows:
            whole = ROWS["lc+co+svb"]
            switches = [f"network.{name}={value}" for name, value in ROWS.get(row, whole).items()]
            switches += DATA_ROWS.get(row, [])
            config = read_config(args.config, [*args.overrides, *steps, f"seed={seed}", *switches])
            folder = args.out / row.replace("=", "-").replace(" ", "-") / f"seed-{seed}"
            at_test = tuple(AT_TEST.get(row, {}).items())
            runs.append(
                AblationRun(
                    row,
                    seed,
                    config,
                    folder,
                    args.data,
                    args.trunk,
                    device,
                    args.short_side,
                    at_test,
                    args.stills if row == "with stills" else None,
                )
            )
    return runs


def _chosen(rows: str | None) -> list[str]:
    wanted = [name for name in (rows or "").split(",") if name] or list(ROWS)
    if unknown := [name for name in wanted if name not in {**ROWS, **DATA_ROWS}]:
        raise BadInput(f"--rows {','.join(unknown)}: unknown; known: {', '.join([*ROWS, *DATA_ROWS])}")
    return wanted


def _line(report: dict[str, Any]) -> str:
    score = report["score"]["j_and_f"]
    return f"{report['row']}, seed {report['seed']}: J&F {score:.1f}, {report['seconds']} s"
