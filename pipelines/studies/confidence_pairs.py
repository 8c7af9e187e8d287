"""Reported confidence beside true J, for every frame and object of a split, the first frame's mask given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from backends.core.errors import BadInput
from backends.core.metrics import jaccard
from backends.core.types import Mask, MaskPrompt, Segmenter
from pipelines.media.davis import DavisSequence
from pipelines.progress import Track, quiet
from pipelines.studies.reliability import bins, calibration_error, found_bad, spearman

BAD_J, LOOKED_AT = 0.5, 0.2


@dataclass(frozen=True)
class Pair:
    """One object on one frame. ``signals``: what the confidence was worked out from, where that is told."""

    sequence: str
    frame: int
    object_id: str
    confidence: float
    j: float
    signals: Mapping[str, float] = field(default_factory=dict)


def pairs_of(segmenter: Segmenter, sequence: DavisSequence, *, progress: Track = quiet) -> list[Pair]:
    """All frames but the given first one. An object without an answer is an empty mask of confidence 0.

    Raises BadInput for fewer than three frames, which leave nothing to correlate.
    """
    if len(sequence.clip) < 3:
        raise BadInput(f"sequence {sequence.name}: {len(sequence.clip)} frames; wants 3 or more")
    empty: Mask = np.zeros(sequence.clip.size_hw, np.bool_)
    prompts = [MaskPrompt(str(number), 0, mask) for number, mask in sequence.truth(0).items()]
    stream = segmenter.segment(sequence.clip, prompts)
    found: list[Pair] = []
    for masks in progress(stream, total=len(sequence.clip), label=sequence.name):
        index = masks.frame_index
        if index == 0:
            continue
        for number, truth in sequence.truth(index).items():
            name = str(number)
            j = jaccard(masks.masks.get(name, empty), truth)
            sure, signals = float(masks.confidence.get(name, 0.0)), dict(masks.signals.get(name, {}))
            found.append(Pair(sequence.name, index, name, sure, j, signals))
    return sorted(found, key=lambda pair: (pair.frame, pair.object_id))


def report(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Spearman over all pairs, by sequence and by signal; reliability bins; the pairs themselves."""
    names = list(dict.fromkeys(pair.sequence for pair in pairs))
    by_sequence = {name: [pair for pair in pairs if pair.sequence == name] for name in names}
    sure, true = [pair.confidence for pair in pairs], [pair.j for pair in pairs]
    binned = bins(sure, true)
    return {
        "pairs_count": len(pairs),
        "spearman": spearman(sure, true),
        "per_sequence": {
            name: {
                "pairs_count": len(part),
                "spearman": spearman([p.confidence for p in part], [p.j for p in part]),
                "mean_confidence": float(np.mean([p.confidence for p in part])),
                "mean_j": float(np.mean([p.j for p in part])),
            }
            for name, part in by_sequence.items()
        },
        "signals": _by_signal(pairs),
        "bins": [asdict(one) for one in binned],
        "calibration_error": calibration_error(binned),
        "found_bad": found_bad(sure, true, bad=BAD_J, share=LOOKED_AT),
        "pairs": [asdict(pair) for pair in pairs],
    }


def _by_signal(pairs: Sequence[Pair]) -> dict[str, float | None]:
    """Spearman of each signal with J over the pairs that have it; None where it cannot be told."""
    names = sorted({name for pair in pairs for name in pair.signals})
    told = {name: [(p.signals[name], p.j) for p in pairs if name in p.signals] for name in names}
    return {
        name: spearman([signal for signal, _ in part], [j for _, j in part]) if len(part) > 1 else None
        for name, part in told.items()
    }


def table(found: Mapping[str, Any]) -> str:
    """One line per sequence, then the pooled figures."""
    width = max(len(name) for name in [*found["per_sequence"], "all pairs"])
    lines = [f"{'sequence':<{width}}  pairs  Spearman  mean confidence  mean J"]
    for name, part in found["per_sequence"].items():
        lines.append(
            f"{name:<{width}}  {part['pairs_count']:5d}  {_number(part['spearman']):>8}  "
            f"{part['mean_confidence']:15.3f}  {part['mean_j']:6.3f}"
        )
    lines.append(f"{'all pairs':<{width}}  {found['pairs_count']:5d}  {_number(found['spearman']):>8}")
    lines += [f"  by {name}: {_number(value)}" for name, value in found["signals"].items()]
    lines.append(f"confidence is off from J by {found['calibration_error']:.3f} on average over bins")
    if found["found_bad"] is not None:
        lines.append(
            f"the least sure {LOOKED_AT:.0%} hold {found['found_bad']:.0%} of the masks with J below {BAD_J}"
        )
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def draw(found: Mapping[str, Any], figure: Any) -> None:
    """Left: every pair, coloured by sequence. Right: bins, against the diagonal where confidence equals J."""
    scatter, reliability = figure[1]
    for name in found["per_sequence"]:
        part = [pair for pair in found["pairs"] if pair["sequence"] == name]
        scatter.scatter([p["confidence"] for p in part], [p["j"] for p in part], s=9, alpha=0.6, label=name)
    scatter.legend(fontsize=7, loc="lower right")
    scatter.set_title(f"Spearman {_number(found['spearman'])} over {found['pairs_count']} pairs")
    reliability.plot([0, 1], [0, 1], ":", color="grey")
    xs, ys = [b["confidence"] for b in found["bins"]], [b["j"] for b in found["bins"]]
    reliability.plot(xs, ys, "o-")
    reliability.set_title(f"{len(found['bins'])} bins, off by {found['calibration_error']:.3f} on average")
    for axis in (scatter, reliability):
        axis.set(xlabel="reported confidence", ylabel="true J", ylim=(-0.03, 1.03))
    reliability.set(xlim=(-0.03, 1.03))
