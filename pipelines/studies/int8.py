"""``maskloop study int8``: does the trunk in eight bits cost accuracy? Both engines on the same sequences."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``maskloop study int8``."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data in the DAVIS layout")
    parser.add_argument("--sequences", metavar="A,B", help="sequences, with commas between; default: all")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="default: the served version's weights")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores and differences here")


def run(args: argparse.Namespace) -> int:
    """Score both, print their table and the difference."""
    from dataclasses import replace

    from pipelines.atomic import write_json
    from pipelines.model_commands import load_segmenter
    from pipelines.progress import bar
    from pipelines.services.installation import current_settings
    from pipelines.studies.floors import compare, table

    args.device = "cpu"
    methods = []
    for engine in ("onnx", "int8"):
        opened: Any = load_segmenter("video_object", args, replace(current_settings(), engine=engine))
        opened.version += f" {engine}"
        methods.append(opened)
    names = [name for name in (args.sequences or "").split(",") if name]
    scores = compare(methods, args.data, names or None, progress=bar)
    report = {**difference(*scores.values()), "scores": scores}
    print(table(scores))
    print(f"eight bits change J&F by {report['j_and_f_change']:+.2f} points")
    if args.json:
        write_json(args.json, report)
    return 0


def difference(whole: dict[str, Any], eight: dict[str, Any]) -> dict[str, Any]:
    """J&F in eight bits minus J&F in 32, in points, over all objects and by sequence."""
    by_sequence = {
        name: round(eight["per_sequence"][name]["j_and_f"] - part["j_and_f"], 3)
        for name, part in whole["per_sequence"].items()
    }
    return {
        "j_and_f_change": round(eight["j_and_f"] - whole["j_and_f"], 3),
        "by_sequence": by_sequence,
    }
