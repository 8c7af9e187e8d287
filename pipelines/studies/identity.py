"""``maskloop study identity``: do masks stay with their own object when look-alikes cross?

The clips are generated (:mod:`pipelines.studies.crossing`); what a switched frame and a switch event are is
defined in :mod:`pipelines.studies.id_switches`.
"""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.core.errors import BadInput

if TYPE_CHECKING:
    from backends.core.types import Segmenter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``maskloop study identity``."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--weights", type=Path, metavar="FILE", help="default: the served version's weights")
    which.add_argument("--compare", metavar="A,B", help="several weights files, with commas between")
    parser.add_argument(
        "--centre-off",
        action="store_true",
        help="run each set of weights a second time with its centre votes switched off",
    )
    parser.add_argument("--sequences", type=int, default=12, metavar="N", help="how many clips; default: 12")
    parser.add_argument("--frames", type=int, default=40, metavar="N", help="frames of a clip; default: 40")
    parser.add_argument("--size", default="854x480", metavar="WxH", help="size of a frame; default: 854x480")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="another set of clips; default: 0")
    parser.add_argument("--device", help="torch device: cpu, cuda or cuda:N; default: MASKLOOP_DEVICE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the rates here, as PNG")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="frames with masks over them, as PNG")


def run(args: Namespace) -> int:
    """Measure every variant on the same generated clips; print one table."""
    from pipelines.atomic import write_json
    from pipelines.progress import bar
    from pipelines.studies.contact_sheet import write_sheet
    from pipelines.studies.crossing import scenes
    from pipelines.studies.identity_run import measure

    figure = _figure() if args.plot else None
    size_hw = parse_size(args.size)
    clips = list(scenes(args.sequences, args.seed, size_hw, args.frames))
    variants, rows = measure(_variants(args), clips, progress=bar)
    report = {
        "clips": {"count": len(clips), "seed": args.seed, "frames": args.frames, "size_hw": list(size_hw)},
        "variants": variants,
    }
    print(table(report))
    if args.json:
        write_json(args.json, report)
    if args.sheet:
        write_sheet(args.sheet, rows)
    if figure is not None:
        draw(report, figure, args.plot)
    return 0


def parse_size(text: str) -> tuple[int, int]:
    """``854x480`` -> (480, 854). Raises BadInput for anything else."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise BadInput(f"--size {text!r}: wants WIDTHxHEIGHT in pixels, such as 854x480")
    return int(height), int(width)


def table(report: dict[str, Any]) -> str:
    """One line per variant and condition: switches in percent, events per object, J."""
    columns = {
        "switched_frames": "switched %",
        "switched_clips": "clips %",
        "ended_switched": "at end %",
        "events_per_object": "events/object",
        "spilled_frames": "spilled %",
        "lost_frames": "lost %",
        "j": "    J",
    }
    width = max(len(name) for name in report["variants"])
    lines = [f"{'variant':<{width}}  given  " + "  ".join(columns.values())]
    for name, variant in report["variants"].items():
        for condition in ("all", "one"):
            cells = [f"{variant[condition][c]:>{len(title)}.2f}" for c, title in columns.items()]
            lines.append(f"{name:<{width}}  {condition:<5}  " + "  ".join(cells))
    return "\n".join(lines)


def draw(report: dict[str, Any], figure: Any, path: Path) -> None:
    """Bars: the shares of switched, spilled and lost frames and J, by variant and condition."""
    from pipelines.studies.plots import save_figure

    canvas, axes = figure
    names = list(report["variants"])
    panels = {
        "switched_frames": "switched frames, % (less is better)",
        "spilled_frames": "spilled frames, % (less is better)",
        "lost_frames": "lost frames, % (less is better)",
        "j": "J per object",
    }
    for axis, (key, title) in zip(axes, panels.items(), strict=True):
        for place, condition in enumerate(("all", "one")):
            values = [report["variants"][name][condition][key] for name in names]
            spots = [number + 0.38 * (place - 0.5) for number in range(len(names))]
            bars = axis.bar(spots, values, 0.36, label=f"{condition} given")
            axis.bar_label(bars, fmt="%.1f", fontsize=8)
        axis.set_xticks(range(len(names)), [name.replace(" ", "\n", 1) for name in names], fontsize=7)
        axis.set_title(title)
    axes[0].legend()
    save_figure(canvas, path)


def _figure() -> Any:
    from pipelines.studies.plots import new_figure

    return new_figure(4, width=3.8)


def _variants(args: Namespace) -> dict[str, Segmenter]:
    from dataclasses import replace

    from pipelines.model_commands import load_segmenter
    from pipelines.services.installation import current_settings

    settings = current_settings()
    if args.centre_off:  # an exported graph has its switches built in; both sides run alike
        settings = replace(settings, engine="torch")
    paths = [Path(name) for name in (args.compare or "").split(",") if name] or [args.weights]
    variants: dict[str, Segmenter] = {}
    for path in paths:
        wanted = Namespace(weights=path, device=args.device)
        segmenter = load_segmenter("video_object", wanted, settings)
        variants[segmenter.version] = segmenter
        if args.centre_off:
            deaf = without_votes(load_segmenter("video_object", wanted, settings))
            variants[f"{segmenter.version} centre off"] = deaf
    return variants


def without_votes(segmenter: Segmenter) -> Segmenter:
    """The same weights, centre votes not listened to. Raises BadInput for a network that has none."""
    from dataclasses import replace

    network: Any = getattr(segmenter, "network", None)
    config: Any = getattr(network, "config", None)
    if getattr(config, "co", None) != "fuse":
        raise BadInput(
            f"--centre-off: {segmenter.version} was not made with co=fuse, so it has no centre votes"
        )
    network.config = replace(config, co="aux")
    return segmenter
