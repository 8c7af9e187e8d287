"""``maskloop study confidence``: does the reported confidence tell where masks are bad?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``maskloop study confidence``."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data in the DAVIS layout")
    parser.add_argument("--sequences", metavar="A,B", help="sequences, with commas between; default: all")
    parser.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="take every N-th frame only, to save time; default: 1",
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="default: the served version's weights")
    parser.add_argument("--device", help="torch device: cpu, cuda or cuda:N; default: MASKLOOP_DEVICE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures and all pairs here")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw pairs and reliability here, as PNG")


def run(args: argparse.Namespace) -> int:
    """Segment every sequence once from its first mask; print one table."""
    from pipelines.atomic import write_json
    from pipelines.media import davis
    from pipelines.model_commands import load_segmenter
    from pipelines.progress import bar
    from pipelines.services.installation import current_settings
    from pipelines.studies import confidence_pairs
    from pipelines.studies.thinning import every

    figure = _figure() if args.plot else None
    names = [name for name in (args.sequences or "").split(",") if name]
    sequences = [
        every(davis.open_sequence(args.data, name), args.every)
        for name in davis.choose(args.data, names or None)
    ]
    segmenter = load_segmenter("video_object", args, current_settings())
    pairs = [pair for one in sequences for pair in confidence_pairs.pairs_of(segmenter, one, progress=bar)]
    report: dict[str, Any] = {
        "version": segmenter.version,
        "every": args.every,
        **confidence_pairs.report(pairs),
    }
    print(confidence_pairs.table(report))
    if args.json:
        write_json(args.json, report)
    if figure is not None:
        from pipelines.studies.plots import save_figure

        confidence_pairs.draw(report, figure)
        save_figure(figure[0], args.plot)
    return 0


def _figure() -> Any:
    from pipelines.studies.plots import new_figure

    return new_figure(2)
