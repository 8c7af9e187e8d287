"""``maskloop study clicks``: how many clicks a mask costs, ours beside GrabCut, counted in one run.

A simulated person clicks the middle of the largest error (the wrong pixel farthest from any right one) until
the mask is good enough; NoC@85 is the number of clicks until IoU 0.85, the limit where it is never reached.
Real people click less exactly: the counts compare methods, they do not foretell working time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backends.core.types import Image, Mask

GOALS = (0.85, 0.90)
Answer = Callable[..., "Mask"]  # image, points, boxes, previous -> mask


@dataclass
class Tally:
    """What one method did: IoU after each click and time of each, a row per object."""

    overlaps: list[list[float]] = field(default_factory=list)
    ms: list[list[float]] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``maskloop study clicks``."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data in the DAVIS layout")
    parser.add_argument("--sequences", metavar="A,B", help="sequences, with commas between; default: all")
    parser.add_argument("--every", type=int, default=10, metavar="N", help="one frame in N; default: 10")
    parser.add_argument("--clicks", type=int, default=20, metavar="N", help="most clicks; default: 20")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="default: the shipped weights")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="default: all cores")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts and the curves here")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw IoU over the number of clicks")


def run(args: argparse.Namespace) -> int:
    """Count for both methods and print one table."""
    import cv2

    from backends.clicks.grabcut import grabcut_mask
    from backends.clicks.graphs import WEIGHTS, open_learned
    from backends.settings import from_env
    from pipelines.atomic import write_json

    learned = open_learned(from_env().data_dir / "cache" / "graphs", args.threads, args.weights or WEIGHTS)
    if args.threads:
        cv2.setNumThreads(args.threads)
    methods: dict[str, Answer] = {"learned": learned.mask, "grabcut": grabcut_mask}
    wanted = [name for name in (args.sequences or "").split(",") if name]
    report = count(args.data, wanted, args.every, args.clicks, methods)
    print(table(report))
    if args.json:
        write_json(args.json, report)
    if args.plot:
        plot(report, args.plot)
    return 0


def count(
    data: Path, sequences: Sequence[str], every: int, most: int, methods: dict[str, Answer]
) -> dict[str, Any]:
    """Every object on one frame in ``every`` through every method; see :func:`summary` for what comes back.

    Raises BadInput or BadMedia when ``data`` holds no such sequences.
    """
    from backends.core.errors import BadInput
    from pipelines.progress import bar

    tallies = {name: Tally() for name in methods}
    names: list[str] = []
    for name, image, truth in bar(objects(data, sequences, every), total=None, label="clicking"):
        names.append(name)
        for method, answer in methods.items():
            overlaps, ms = click_through(answer, image, truth, most)
            tallies[method].overlaps.append(overlaps)
            tallies[method].ms.append(ms)
    if not names:
        raise BadInput(
            f"{data}: no object on one frame in {every} of {', '.join(sequences) or 'any sequence'}"
        )
    report = {method: summary(tally, names, most) for method, tally in tallies.items()}
    return {"clicks": most, "every": every, "objects": len(names), "methods": report}


def objects(data: Path, sequences: Sequence[str], every: int) -> Iterator[tuple[str, Image, Mask]]:
    """(sequence, frame, mask) of every object on one frame in ``every``."""
    import numpy as np

    from backends.clicks import stills
    from backends.core.images import open_image

    for name in sequences or stills.sequence_names(data):
        for image_path, mask_path in stills.frame_paths(data, name)[::every]:
            labels = stills.read_labels(mask_path)
            for label in np.unique(labels[(labels > 0) & (labels < 255)]):
                yield name, open_image(image_path), np.asarray(labels == label, np.bool_)


def click_through(answer: Answer, image: Image, truth: Mask, most: int) -> tuple[list[float], list[float]]:
    """IoU after each of ``most`` clicks and the milliseconds each took, every click given with all before it
    and the last mask, as the editor's answers do. Stops early only when no pixel is wrong."""
    import numpy as np

    from backends.clicks.simulate import next_click
    from backends.core.masks import iou
    from backends.core.types import PointPrompt

    mask = np.zeros(truth.shape, np.bool_)
    clicks: list[Any] = []
    overlaps: list[float] = []
    ms: list[float] = []
    while len(clicks) < most and (click := next_click(mask, truth, clicks)) is not None:
        clicks.append(click)
        points = [PointPrompt("object", 0, c.x - 0.5, c.y - 0.5, c.positive) for c in clicks]
        began = time.perf_counter()
        mask = answer(image, points, (), mask if len(clicks) > 1 else None)
        ms.append((time.perf_counter() - began) * 1000)
        overlaps.append(iou(mask, truth))
    return overlaps, ms


def summary(tally: Tally, names: Sequence[str], most: int) -> dict[str, Any]:
    """``noc85``, ``noc90`` and how often they were never reached, ``curve`` (mean IoU after 1, 2, … clicks,
    an object without a wrong pixel keeps its last), median ms of first and further clicks, NoC by sequence.
    """
    import numpy as np

    longest = max(len(row) for row in tally.overlaps)
    rows = [row + [row[-1]] * (longest - len(row)) for row in tally.overlaps]
    report: dict[str, Any] = {}
    counts = {goal: [clicks_until(row, goal, most) for row in rows] for goal in GOALS}
    for goal, needed in counts.items():
        label = f"{goal * 100:.0f}"
        report[f"noc{label}"] = round(float(np.mean(needed)), 2)
        report[f"never{label}"] = sum(max(row) < goal for row in rows)
    further = [value for row in tally.ms for value in row[1:]]
    report["first_click_ms"] = round(float(np.median([row[0] for row in tally.ms])), 1)
    report["further_click_ms"] = round(float(np.median(further)), 1) if further else None
    report["curve"] = [round(float(value), 4) for value in np.mean(rows, axis=0)]
    report["noc85_of"] = {
        name: round(float(np.mean([n for n, at in zip(counts[0.85], names, strict=True) if at == name])), 2)
        for name in dict.fromkeys(names)
    }
    return report


def clicks_until(overlaps: Sequence[float], goal: float, most: int) -> int:
    """The number of clicks after which IoU first is ``goal`` or more; ``most`` where it never is."""
    return next((number for number, value in enumerate(overlaps, 1) if value >= goal), most)


def table(report: dict[str, Any]) -> str:
    """The counts for a person."""
    lines = [
        f"{report['objects']} objects, at most {report['clicks']} clicks, simulated in the largest error",
        f"{'method':<10}{'NoC@85':>8}{'never':>7}{'NoC@90':>8}{'never':>7}{'IoU 1':>8}{'IoU 5':>8}"
        f"{'first ms':>10}{'further ms':>12}",
    ]
    for name, m in report["methods"].items():
        fifth = m["curve"][min(4, len(m["curve"]) - 1)]
        lines.append(
            f"{name:<10}{m['noc85']:>8.2f}{m['never85']:>7}{m['noc90']:>8.2f}{m['never90']:>7}"
            f"{100 * m['curve'][0]:>8.1f}{100 * fifth:>8.1f}{m['first_click_ms']:>10.0f}"
            f"{m['further_click_ms'] or 0:>12.0f}"
        )
    return "\n".join(lines)


def plot(report: dict[str, Any], path: Path) -> None:
    """Mean IoU over the number of clicks, a line per method. Raises SetupFault without matplotlib."""
    from backends.core.errors import SetupFault

    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SetupFault("--plot needs matplotlib: pip install 'maskloop[plots]'") from error
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, method in report["methods"].items():
        curve = method["curve"]
        axes.plot(range(1, len(curve) + 1), [100 * value for value in curve], marker=".", label=name)
    for goal in GOALS:
        axes.axhline(100 * goal, linewidth=0.7, linestyle=":", color="grey")
    axes.set_xlabel("clicks (simulated, middle of the largest error)")
    axes.set_ylabel("mean IoU, %")
    axes.set_title(f"{report['objects']} objects")
    axes.legend()
    figure.savefig(path, dpi=150)
