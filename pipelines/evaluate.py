"""Scores a segmenter with the DAVIS metric: the first frame's true mask is given, the rest must be found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backends.core.errors import BadInput
from backends.core.metrics import Score, boundary_f, jaccard, mean_score
from backends.core.types import Clip, FrameMasks, Mask, MaskPrompt, Segmenter
from pipelines.media import davis
from pipelines.media.davis import DavisSequence
from pipelines.media.palette import write_index_png
from pipelines.progress import Track, quiet
from pipelines.propagate_files import compose
from pipelines.stopwatch import Stopwatch


def evaluate_video_object(
    segmenter: Segmenter,
    data_dir: Path,
    sequences: Sequence[str] | None = None,
    *,
    masks_out: Path | None = None,
    progress: Track = quiet,
) -> dict[str, Any]:
    """J, F and their mean over objects (0..100), per sequence and object, and ``ms_per_frame``.

    ``data_dir`` has the DAVIS layout; ``sequences`` None: all of them. {0, 255} masks hold one object, index
    masks several. ``ms_per_frame`` is the median time inside the segmenter, reading files not counted. With
    ``masks_out`` every frame's masks are written as ``masks_out/SEQUENCE/FRAME.png``, index colours. Raises
    BadInput for data that cannot be scored, before the first frame is segmented.
    """
    opened = [davis.open_sequence(data_dir, name) for name in davis.choose(data_dir, sequences)]
    for sequence in opened:
        _need_three_frames(sequence)
    laps_ms: list[float] = []
    scored: dict[str, dict[int, Score]] = {}
    speed: dict[str, float] = {}
    for sequence in opened:
        watch = Stopwatch()
        scored[sequence.name] = score_sequence(
            segmenter, sequence, watch, masks_out=masks_out, progress=progress
        )
        speed[sequence.name] = watch.ms_per_frame
        laps_ms += watch.laps_ms
    return {
        **_percent(mean_score(score for objects in scored.values() for score in objects.values())),
        "ms_per_frame": round(float(np.median(laps_ms)), 3) if laps_ms else 0.0,
        "frames": sum(len(sequence.clip) for sequence in opened),
        "version": segmenter.version,
        "per_sequence": {name: _report(scored[name], speed[name]) for name in scored},
    }


def score_sequence(
    segmenter: Segmenter,
    sequence: DavisSequence,
    watch: Stopwatch,
    *,
    masks_out: Path | None = None,
    progress: Track = quiet,
) -> dict[int, Score]:
    """Each object's score in one sequence. A mask that the segmenter does not give counts as empty."""
    last = len(sequence.clip) - 1
    per_frame: dict[int, dict[int, Score]] = {}
    stream = watch.segment(segmenter, sequence.clip, _first_masks(sequence))
    if masks_out is not None:
        stream = _written(stream, sequence.clip, masks_out / sequence.name)
    for masks in progress(stream, total=len(sequence.clip), label=sequence.name):
        if 0 < masks.frame_index < last:
            per_frame[masks.frame_index] = _score_frame(sequence, masks)
    for index in range(1, last):
        if index not in per_frame:
            per_frame[index] = _score_frame(sequence, FrameMasks(index, {}, {}))
    return {n: mean_score(scores[n] for scores in per_frame.values()) for n in sequence.objects}


def table(report: dict[str, Any]) -> str:
    """The report as lines for people: one per sequence, then the mean over all objects."""
    rows = [(name, part) for name, part in report["per_sequence"].items()] + [("all objects", report)]
    width = max(len(name) for name, _ in rows)
    lines = [f"{'sequence':<{width}}  {'J':>5}  {'F':>5}  {'J&F':>5}  {'ms/frame':>8}"]
    for name, part in rows:
        lines.append(
            f"{name:<{width}}  {part['j']:5.1f}  {part['f']:5.1f}  {part['j_and_f']:5.1f}  "
            f"{part['ms_per_frame']:8.1f}"
        )
    return "\n".join(lines)


def _first_masks(sequence: DavisSequence) -> list[MaskPrompt]:
    return [MaskPrompt(str(number), 0, mask) for number, mask in sequence.truth(0).items()]


def _written(stream: Iterable[FrameMasks], clip: Clip, folder: Path) -> Iterator[FrameMasks]:
    for masks in stream:
        write_index_png(folder / f"{clip.names[masks.frame_index]}.png", compose(masks, None, clip.size_hw))
        yield masks


def _score_frame(sequence: DavisSequence, masks: FrameMasks) -> dict[int, Score]:
    scores = {}
    for number, truth in sequence.truth(masks.frame_index).items():
        found: Mask = masks.masks.get(str(number), np.zeros(sequence.clip.size_hw, np.bool_))
        scores[number] = Score(jaccard(found, truth), boundary_f(found, truth))
    return scores


def _need_three_frames(sequence: DavisSequence) -> None:
    if len(sequence.clip) < 3:
        raise BadInput(
            f"sequence {sequence.name}: {len(sequence.clip)} frames; the first and the last do not count, "
            "so it wants 3 or more"
        )


def _report(objects: dict[int, Score], ms_per_frame: float) -> dict[str, Any]:
    return {
        **_percent(mean_score(objects.values())),
        "ms_per_frame": ms_per_frame,
        "objects": {str(number): _percent(score) for number, score in objects.items()},
    }


def _percent(score: Score) -> dict[str, float]:
    return {
        "j": round(100 * score.j, 3),
        "f": round(100 * score.f, 3),
        "j_and_f": round(100 * score.j_and_f, 3),
    }
