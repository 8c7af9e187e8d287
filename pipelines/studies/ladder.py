"""``maskloop study ladder``: what each part of the weak-shot method brings, row by row.

Every row has the same photos, seeds and budgets; rows differ in switches alone. Stages that rows have in
common (a classifier, the boundary network, an affinity network) are trained once and used by all of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput
from pipelines.studies.side_by_side import numbers

_PLAIN = {"seg_gt": False, "aff_gt": False, "boundary": False}
# shares leave the background its part already, so it needs no steep power
_SHARES = {
    "response": "shares",
    "responses": {"alpha": 2.0, "seed_foreground": 2.0, "seed_background": 8.0},
}
# row -> the config's switches that differ from the whole method with CAM
ROWS: dict[str, dict[str, Any]] = {
    "cam": {**_PLAIN, "propagate": False},
    "walk": _PLAIN,
    "seg_gt": {"aff_gt": False, "boundary": False},
    "aff_gt": {"boundary": False},
    "retab": {},
    "seam_retab": {"response": "seam"},
    "oracle": {"oracle": True},
}
MORE_ROWS: dict[str, dict[str, Any]] = {
    "stage_1": {"stage": 1},
    "edge_cut": {"walk": {"cut": True}},
    "seam": {**_PLAIN, "propagate": False, "response": "seam"},
    "shares": {**_PLAIN, "propagate": False, **_SHARES},
    "shares_walk": {**_PLAIN, **_SHARES},
    "shares_retab": _SHARES,
}
NAMES = {
    "cam": "responses alone",
    "walk": "+ random walk",
    "seg_gt": "+ seg_gt",
    "aff_gt": "+ aff_gt",
    "retab": "RETAB",
    "seam_retab": "SEAM + RETAB",
    "oracle": "oracle",
    "stage_1": "RETAB, stage 1 only",
    "edge_cut": "RETAB + edge cut",
    "seam": "SEAM",
    "shares": "shares",
    "shares_walk": "shares + random walk",
    "shares_retab": "shares + RETAB",
}
NETWORK_ROWS = ("seg_gt", "oracle")
"""Rows that differ from another one in what the final network learns from, and in nothing else."""
CONFIG = Path(__file__).parents[2] / "backends" / "weak_shot" / "configs" / "ladder.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``maskloop study ladder``."""
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="tagged photos with masks, in a known layout"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="stages and reports go here")
    parser.add_argument("--folds", default="0,1", metavar="A,B", help="folds; default: 0,1")
    parser.add_argument("--seeds", default="0,1", metavar="A,B", help="seeds; default: 0,1")
    parser.add_argument(
        "--rows", metavar="A,B", help=f"default: {','.join(ROWS)}; besides: {','.join(MORE_ROWS)}"
    )
    parser.add_argument("--trunk", type=Path, metavar="FILE", help="ImageNet weights of the trunk")
    parser.add_argument("--config", type=Path, default=CONFIG, metavar="FILE", help="default: ladder.json")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="change one value of the config of every row; may be given again",
    )
    parser.add_argument(
        "--choosing",
        action="store_true",
        help="try every walk on a part of the training photos, where some base classes play novel ones; the "
        "held-out photos and the masks of novel classes stay unseen",
    )
    parser.add_argument(
        "--masks-only",
        action="store_true",
        help="score pseudo-masks only; rows that differ in the final network alone are left out",
    )
    parser.add_argument("--device", help="torch device: cpu, cuda or cuda:N; default: MASKLOOP_DEVICE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: ladder.json in --out")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="default: ladder.png in --out")


def run(args: argparse.Namespace) -> int:
    """Train and score what is not there yet; print the table."""
    from pipelines.atomic import write_json
    from pipelines.services.installation import current_settings
    from pipelines.studies.ladder_run import LadderRun
    from pipelines.studies.ladder_table import draw, findings, summarise, table
    from pipelines.studies.plots import new_figure

    rows, folds, seeds = (
        chosen(args.rows, args.masks_only),
        numbers(args.folds, "--folds"),
        numbers(args.seeds, "--seeds"),
    )
    configs = {row: config_of(row, args.config, args.overrides) for row in rows}
    if args.choosing:
        return _choose(args, configs, folds, seeds)
    figure, axes = new_figure(2, width=6.4)  # a missing matplotlib is said before hours pass
    device = args.device or current_settings().device
    reports: list[dict[str, Any]] = []
    for seed in seeds:
        for fold in folds:
            one = LadderRun(
                args.data, fold, seed, args.out, args.trunk, device, args.choosing, args.masks_only
            )
            for row in rows:
                reports.append(one.report(row, configs[row]))
                print(_line(reports[-1]), flush=True)
    summary = summarise(reports)
    print(table(summary, NAMES), *findings(reports), sep="\n")
    write_json(args.json or args.out / "ladder.json", {"rows": summary, "runs": reports})
    draw(summary, NAMES, figure, axes, args.plot or args.out / "ladder.png")
    return 0


def _choose(
    args: argparse.Namespace,
    configs: Mapping[str, dict[str, Any]],
    folds: Sequence[int],
    seeds: Sequence[int],
) -> int:
    from pipelines.atomic import write_json
    from pipelines.services.installation import current_settings
    from pipelines.studies.ladder_choices import best, choices, line
    from pipelines.studies.ladder_run import LadderRun

    device = args.device or current_settings().device
    runs = [
        LadderRun(args.data, fold, seed, args.out, args.trunk, device, choosing=True)
        for seed in seeds
        for fold in folds
    ]
    chosen_walks = {}
    for row, values in configs.items():
        chosen_walks[row] = best([choices(one, row, values) for one in runs])
        print(line(row, chosen_walks[row]), flush=True)
    write_json(args.json or args.out / "choices.json", chosen_walks)
    return 0


def config_of(row: str, config: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """The row's config as JSON values: the file, the overrides, then the row's switches over both.

    A file may hold settings for single rows under ``rows``, such as a number of steps chosen for each.
    Raises BadInput for a file that cannot be read.
    """
    from pipelines.train import read_config

    values = read_config(config, overrides)
    own = values.pop("rows", {}).get(row, {})
    for name, value in (*own.items(), *{**ROWS, **MORE_ROWS}[row].items()):
        values[name] = {**values.get(name, {}), **value} if isinstance(value, Mapping) else value
    return values


def chosen(rows: str | None, masks_only: bool = False) -> list[str]:
    """The rows that were asked for, of those that there is something to score of. Raises BadInput."""
    known = [*ROWS, *MORE_ROWS]
    wanted = [name for name in (rows or "").split(",") if name] or list(ROWS)
    if unknown := [name for name in wanted if name not in known]:
        raise BadInput(f"--rows {','.join(unknown)}: unknown; known: {', '.join(known)}")
    return [name for name in wanted if not (masks_only and name in NETWORK_ROWS)]


def _line(report: Mapping[str, Any]) -> str:
    novel = (report[part]["c_novel"] for part in ("pseudo_masks", "network") if report.get(part))
    told = " / ".join("-" if value is None else f"{value:.3f}" for value in novel)
    return f"fold {report['fold']}, seed {report['seed']}, {report['row']}: C_novel {told}"
