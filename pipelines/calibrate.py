"""``maskloop calibrate``: fit what the confidence says to the true J, and store it with the weights.

Each sequence is segmented twice, from its first mask alone and from its first and last mask, and once more
with another sequence's frames behind a cut; there the wanted confidence is 0, for nothing of what was carried
over a cut can be trusted. The model is logistic (see ``backends.video_object.confidence``), fitted by maximum
likelihood with J as a soft target; no signal may count against its sense, so that what a few sequences have
in common by chance is not learned. How well it ranks masks of a sequence that it was not fitted on is told
by leaving out one sequence at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from backends.core.errors import BadInput
from backends.core.metrics import jaccard
from backends.core.types import Clip, FrameMasks, Frames, Image, MaskPrompt, Segmenter
from pipelines.media.davis import DavisSequence
from pipelines.progress import Track, quiet
from pipelines.studies.reliability import spearman

BEHIND_CUT = 12  # frames of another sequence
BEFORE_CUT = 8
RIDGE = 1e-3
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One object on one frame: its signals and the confidence that would be right."""

    sequence: str
    kind: str  # "first", "both" or "cut"
    signals: Mapping[str, float]
    wanted: float


def samples_of(
    segmenter: Segmenter, sequences: Sequence[DavisSequence], *, progress: Track = quiet
) -> list[Sample]:
    """Signals and J on every frame without an anchor. Raises BadInput for fewer than two sequences."""
    if len(sequences) < 2:
        raise BadInput(f"{len(sequences)} sequence to calibrate on; wants two or more, better six")
    found: list[Sample] = []
    for i, sequence in enumerate(sequences):
        last = len(sequence.clip) - 1
        for kind, anchors in (("first", (0,)), ("both", (0, last))):
            found += _segment(segmenter, sequence, kind, anchors, progress)
        found += _behind_a_cut(segmenter, sequence, sequences[i - 1], progress)
    return found


def fit(samples: Sequence[Sample], names: Sequence[str]) -> tuple[dict[str, float], float]:
    """Weights and bias of the logistic model over the named signals. Raises BadInput for unknown names."""
    if missing := [n for n in names if any(n not in s.signals for s in samples)]:
        raise BadInput(f"the segmenter gives no signal {', '.join(missing)}")
    x = np.array([[s.signals[n] for n in names] for s in samples])
    wanted = np.array([s.wanted for s in samples])
    middle, spread = x.mean(0), np.maximum(x.std(0), 1e-6)
    z = np.hstack(((x - middle) / spread, np.ones((len(x), 1))))

    def loss(w: Floats) -> tuple[float, Floats]:
        score = z @ w
        penalty = RIDGE * np.append(w[:-1], 0.0)
        value = np.mean(np.logaddexp(0, score) - wanted * score) + 0.5 * float(penalty @ w)
        return float(value), z.T @ (_sigmoid(score) - wanted) / len(z) + penalty

    bounds = [*map(_sense, names), (None, None)]
    w = minimize(loss, np.zeros(z.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds).x
    weights = w[:-1] / spread
    return dict(zip(names, weights.tolist(), strict=True)), float(w[-1] - weights @ middle)


def _sense(name: str) -> tuple[float | None, float | None]:
    """The bounds of a signal's weight; a name that is not known here has none."""
    from backends.video_object.confidence import SIGNALS, SPEAKS_FOR  # imports torch

    if name not in SIGNALS:
        return (None, None)
    return (0.0, None) if name in SPEAKS_FOR else (None, 0.0)


def report(samples: Sequence[Sample], names: Sequence[str]) -> dict[str, Any]:
    """The fit on everything, its Spearman correlation with J, and that on sequences left out of the fit."""
    weights, bias = fit(samples, names)
    fitted = [_predict(s, weights, bias) for s in samples]
    left_out = _left_out(samples, names)
    return {
        "weights": weights,
        "bias": bias,
        "samples": len(samples),
        "sequences": sorted({s.sequence for s in samples}),
        "spearman": {kind: _rank(samples, fitted, kind) for kind in ("first", "both", "cut", "all")},
        "spearman_left_out": {k: _rank(samples, left_out, k) for k in ("first", "both", "cut", "all")},
    }


def table(found: Mapping[str, Any]) -> str:
    """For people."""
    lines = ["frames           Spearman  on sequences left out of the fit"]
    titles = {"first": "one anchor", "both": "two anchors", "cut": "with a cut", "all": "all"}
    for kind, title in titles.items():
        inside, outside = (found[k][kind] for k in ("spearman", "spearman_left_out"))
        lines.append(f"{title:<15}  {_number(inside):>8}  {_number(outside):>8}")
    return "\n".join([*lines, *(f"  {n}: {w:+.3f}" for n, w in found["weights"].items())])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _segment(
    segmenter: Segmenter, sequence: DavisSequence, kind: str, anchors: Sequence[int], progress: Track
) -> list[Sample]:
    prompts = _prompts(sequence, anchors)
    stream = segmenter.segment(sequence.clip, prompts)
    title = f"{sequence.name} ({kind})"
    found = []
    for masks in progress(stream, total=len(sequence.clip), label=title):
        truth = sequence.truth(masks.frame_index)
        found += [
            Sample(sequence.name, kind, masks.signals[name], jaccard(masks.masks[name], truth[int(name)]))
            for name in masks.signals
        ]
    return found


def _behind_a_cut(
    segmenter: Segmenter, sequence: DavisSequence, other: DavisSequence, progress: Track
) -> list[Sample]:
    clip = _spliced(sequence.clip, other.clip)
    stream = segmenter.segment(clip, _prompts(sequence, (0,)))

    def wanted(masks: FrameMasks, name: str) -> float:
        if masks.frame_index >= BEFORE_CUT:
            return 0.0
        return jaccard(masks.masks[name], sequence.truth(masks.frame_index)[int(name)])

    found = []
    for masks in progress(stream, total=len(clip), label=f"{sequence.name} (cut)"):
        found += [
            Sample(sequence.name, "cut", signals, wanted(masks, name))
            for name, signals in masks.signals.items()
        ]
    return found


def _prompts(sequence: DavisSequence, frames: Sequence[int]) -> list[MaskPrompt]:
    prompts = [MaskPrompt(str(n), t, m) for t in frames for n, m in sequence.truth(t).items()]
    return [p for p in prompts if p.mask.any()]


def _spliced(clip: Clip, other: Clip) -> Clip:
    if clip.size_hw != other.size_hw:
        raise BadInput(f"{clip.clip_id} and {other.clip_id} differ in size; calibrate on clips of one size")
    frames = _Spliced(clip.frames, other.frames)
    return Clip(f"{clip.clip_id}+{other.clip_id}", frames, clip.size_hw, tuple(map(str, range(len(frames)))))


@dataclass(frozen=True)
class _Spliced:
    first: Frames
    then: Frames

    def __len__(self) -> int:
        return BEFORE_CUT + min(BEHIND_CUT, len(self.then))

    def __getitem__(self, index: int) -> Image:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.first[index] if index < BEFORE_CUT else self.then[index - BEFORE_CUT]


def _left_out(samples: Sequence[Sample], names: Sequence[str]) -> list[float]:
    """Each sample's confidence by a fit that never saw its sequence."""
    fits = {
        name: fit([s for s in samples if s.sequence != name], names) for name in {s.sequence for s in samples}
    }
    return [_predict(s, *fits[s.sequence]) for s in samples]


def _predict(sample: Sample, weights: Mapping[str, float], bias: float) -> float:
    total = bias + sum(w * sample.signals[n] for n, w in weights.items())
    return float(_sigmoid(np.array(total)))


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -30, 30))))


def _rank(samples: Sequence[Sample], told: Sequence[float], kind: str) -> float | None:
    pairs = [(c, s.wanted) for c, s in zip(told, samples, strict=True) if kind in ("all", s.kind)]
    return spearman([c for c, _ in pairs], [j for _, j in pairs]) if len(pairs) > 2 else None


def write(weights: Path, found: Mapping[str, Any], out: Path) -> None:
    """The same weights with the fitted confidence in their metadata, written whole or not at all."""
    from backends.video_object.confidence import Calibration
    from backends.video_object.weights_file import with_confidence

    with_confidence(weights, Calibration(found["weights"], found["bias"]), out)
