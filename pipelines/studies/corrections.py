"""``maskloop study corrections``: how much does each corrected frame bring, by who chooses the frame?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backends.core.types import Segmenter
    from pipelines.media.davis import DavisSequence
    from pipelines.progress import Track
    from pipelines.studies.correction_curves import Corrected

STRATEGIES = ("confidence", "true_j", "random", "even")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``maskloop study corrections``."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data in the DAVIS layout")
    parser.add_argument("--sequences", metavar="A,B", help="sequences, with commas between; default: all")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="finished passes are kept here and not made again",
    )
    parser.add_argument(
        "--corrections", type=int, default=5, metavar="N", help="at most so many corrected frames; default: 5"
    )
    parser.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="take every N-th frame only, to save time; default: 1",
    )
    parser.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="random orders to average over; default: 3"
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="default: the served version's weights")
    parser.add_argument("--device", help="torch device: cpu, cuda or cuda:N; default: MASKLOOP_DEVICE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the curves here")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the curves here, as PNG")


def run(args: argparse.Namespace) -> int:
    """Make the passes that are not there yet; print one table."""
    from pipelines.atomic import write_json
    from pipelines.model_commands import load_segmenter
    from pipelines.progress import bar
    from pipelines.services.installation import current_settings
    from pipelines.studies import correction_curves

    figure = _figure() if args.plot else None
    sequences = open_sequences(args.data, args.sequences, args.every, args.corrections)
    segmenter = load_segmenter("video_object", args, current_settings())
    corrected = [
        correct(segmenter, sequence, args, progress=bar)  # one after the other: each is kept when it is done
        for sequence in sequences
    ]
    report = {
        "version": segmenter.version,
        "every": args.every,
        "corrections": args.corrections,
        "random_seeds": args.seeds,
        **correction_curves.report(corrected),
    }
    print(correction_curves.table(report))
    if args.json:
        write_json(args.json, report)
    if figure is not None:
        correction_curves.draw(report, figure, args.plot)
    return 0


def open_sequences(data: Path, names: str | None, step: int, corrections: int) -> list[DavisSequence]:
    """The sequences to study, thinned. Raises BadInput for one with too few frames, before anything runs."""
    from pipelines.media import davis
    from pipelines.studies.strategies import check_count
    from pipelines.studies.thinning import every

    wanted = [name for name in (names or "").split(",") if name]
    opened = [every(davis.open_sequence(data, name), step) for name in davis.choose(data, wanted or None)]
    for sequence in opened:
        check_count(len(sequence.clip), corrections)
    return opened


def correct(
    segmenter: Segmenter, sequence: DavisSequence, args: argparse.Namespace, *, progress: Track
) -> Corrected:
    """All passes of one sequence: 0 to ``args.corrections`` by every strategy."""
    from pipelines.studies.correction_curves import Corrected
    from pipelines.studies.correction_passes import Passes, folder_of

    passes = Passes(segmenter, sequence, folder_of(args.out, segmenter, sequence, args.every), progress)
    start = passes.start()
    lines = {
        strategy: [
            [start, *passes.of(strategy, args.corrections, seed)]
            for seed in range(max(1, args.seeds) if strategy == "random" else 1)
        ]
        for strategy in STRATEGIES
    }
    return Corrected(sequence.name, len(sequence.clip), lines)


def _figure() -> Any:
    from pipelines.studies.plots import new_figure

    return new_figure(2)
