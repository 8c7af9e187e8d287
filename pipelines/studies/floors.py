"""``maskloop study floors``: the network beside two methods that learn nothing, scored alike."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backends.core.types import Segmenter
    from pipelines.progress import Track


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``maskloop study floors``."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data in the DAVIS layout")
    parser.add_argument("--sequences", metavar="A,B", help="sequences, with commas between; default: all")
    parser.add_argument(
        "--trunk", type=Path, metavar="FILE", help="ImageNet weights of MobileNetV2, for label propagation"
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="default: the served version's weights")
    parser.add_argument("--device", help="torch device: cpu, cuda or cuda:N; default: MASKLOOP_DEVICE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table here")


def run(args: argparse.Namespace) -> int:
    """Score all three and print one table."""
    from backends.video_object.first_mask import FirstMaskCopied
    from pipelines.atomic import write_json
    from pipelines.model_commands import load_segmenter
    from pipelines.progress import bar
    from pipelines.services.installation import current_settings

    settings = current_settings()
    methods: list[Segmenter] = [FirstMaskCopied()]
    if args.trunk:
        from backends.video_object.label_propagation import load

        methods.append(load(args.trunk, device=args.device or settings.device))
    methods.append(load_segmenter("video_object", args, settings))
    names = [name for name in (args.sequences or "").split(",") if name]
    report = compare(methods, args.data, names or None, progress=bar)
    print(table(report))
    if args.json:
        write_json(args.json, report)
    return 0


def compare(
    methods: list[Segmenter], data: Path, sequences: list[str] | None, *, progress: Track | None = None
) -> dict[str, Any]:
    """Each method's report of ``evaluate_video_object`` under its version's name."""
    from pipelines.evaluate import evaluate_video_object
    from pipelines.progress import quiet

    return {
        method.version: evaluate_video_object(method, data, sequences, progress=progress or quiet)
        for method in methods
    }


def table(report: dict[str, Any]) -> str:
    """One line per sequence, one column of J&F per method, the means of J, F and J&F below."""
    methods = list(report)
    sequences = list(report[methods[0]]["per_sequence"])
    width = max(len(name) for name in [*sequences, "J&F, all objects"])
    lines = [f"{'sequence (J&F)':<{width}}  " + "  ".join(methods)]
    rows = [
        (name, [report[method]["per_sequence"][name]["j_and_f"] for method in methods]) for name in sequences
    ]
    for label, key in (("J", "j"), ("F", "f"), ("J&F", "j_and_f"), ("ms per frame", "ms_per_frame")):
        of_all = label if key == "ms_per_frame" else f"{label}, all objects"
        rows.append((of_all, [report[method][key] for method in methods]))
    for name, values in rows:
        cells = [f"{value:>{len(method)}.1f}" for value, method in zip(values, methods, strict=True)]
        lines.append(f"{name:<{width}}  " + "  ".join(cells))
    return "\n".join(lines)
