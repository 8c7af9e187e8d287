"""One clip segmented again and again with more and more true masks, every pass kept on disk.

A *pass* is one run over the whole clip with the true masks of frame 0 and of the corrected frames as anchors.
Passes of one strategy lie in one JSON file that is replaced after each, so a run that was stopped goes on
with the next pass. The folder's name holds what the figures depend on: weights, program, data and sampling.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import backends
from backends.core.metrics import boundary_f, jaccard
from backends.core.types import FrameMasks, Mask, MaskPrompt, Segmenter
from pipelines.atomic import write_json
from pipelines.media.davis import DavisSequence
from pipelines.progress import Track
from pipelines.studies.strategies import LOOKING, by_lot, evenly, lowest

Figures = dict[str, list[float]]  # object -> one number per scored frame, frame 1 first


@dataclass(frozen=True)
class Pass:
    """What one run over the clip gave: figures of frames 1 .. n-2, each 0..1."""

    corrected: tuple[int, ...]
    j: Figures
    f: Figures
    confidence: Figures
    seconds: float

    def mean_by_frame(self, figures: Figures) -> dict[int, float]:
        """Scored frame -> mean over objects."""
        means = np.mean(list(figures.values()), axis=0)
        return {index + 1: float(value) for index, value in enumerate(means)}


class Passes:
    """All passes of one sequence, taken from ``folder`` or made."""

    def __init__(self, segmenter: Segmenter, sequence: DavisSequence, folder: Path, progress: Track):
        self.segmenter, self.sequence, self.folder, self.progress = segmenter, sequence, folder, progress

    def start(self) -> Pass:
        """The pass without corrections."""
        return self._followed("start", [()])[0]

    def of(self, strategy: str, count: int, seed: int = 0) -> list[Pass]:
        """The passes with 1 .. ``count`` corrections. ``seed`` is for ``random`` alone."""
        n_frames = len(self.sequence.clip)
        if strategy in LOOKING:
            return self._looking(strategy, count)
        if strategy == "even":
            return self._followed("even", [evenly(n_frames, k) for k in range(1, count + 1)])
        name_seed = int.from_bytes(hashlib.sha256(self.sequence.name.encode()).digest()[:4], "big")
        order = by_lot(n_frames, count, (seed, name_seed))
        return self._followed(f"random-{seed}", [order[:k] for k in range(1, count + 1)])

    def _looking(self, strategy: str, count: int) -> list[Pass]:
        kept = self._read(strategy)[:count]
        while len(kept) < count:
            last = kept[-1] if kept else self.start()
            figures = last.confidence if strategy == "confidence" else last.j
            chosen = lowest(last.mean_by_frame(figures), last.corrected)
            kept.append(self._make(strategy, (*last.corrected, chosen)))
            self._write(strategy, kept)
        return kept

    def _followed(self, name: str, plan: list[tuple[int, ...]]) -> list[Pass]:
        kept = self._read(name)[: len(plan)]
        for corrected in plan[len(kept) :]:
            kept.append(self._make(name, corrected))
            self._write(name, kept)
        return kept

    def _make(self, name: str, corrected: tuple[int, ...]) -> Pass:
        label = f"{self.sequence.name}, {name}, {len(corrected)} corrected"
        return segment_and_score(
            self.segmenter, self.sequence, corrected, label=label, progress=self.progress
        )

    def _read(self, name: str) -> list[Pass]:
        path = self.folder / f"{name}.json"
        if not path.is_file():
            return []
        return [
            Pass(**{**item, "corrected": tuple(item["corrected"])}) for item in json.loads(path.read_text())
        ]

    def _write(self, name: str, passes: list[Pass]) -> None:
        write_json(self.folder / f"{name}.json", [asdict(item) for item in passes])


def segment_and_score(
    segmenter: Segmenter, sequence: DavisSequence, corrected: tuple[int, ...], *, label: str, progress: Track
) -> Pass:
    """One pass. An object that the segmenter does not answer counts as an empty mask of confidence 0."""
    prompts = [
        MaskPrompt(str(number), frame, mask)
        for frame in (0, *corrected)
        for number, mask in sequence.truth(frame).items()
    ]
    began, n_frames = time.perf_counter(), len(sequence.clip)
    scored: dict[int, dict[str, tuple[float, float, float]]] = {}
    for masks in progress(segmenter.segment(sequence.clip, prompts), total=n_frames, label=label):
        if 0 < masks.frame_index < n_frames - 1:
            scored[masks.frame_index] = _score(sequence, masks)
    for index in range(1, n_frames - 1):
        scored.setdefault(index, _score(sequence, FrameMasks(index, {}, {})))
    j, f, confidence = (
        {str(n): [round(scored[i][str(n)][k], 6) for i in range(1, n_frames - 1)] for n in sequence.objects}
        for k in range(3)
    )
    return Pass(corrected, j, f, confidence, round(time.perf_counter() - began, 3))


def _score(sequence: DavisSequence, masks: FrameMasks) -> dict[str, tuple[float, float, float]]:
    empty: Mask = np.zeros(sequence.clip.size_hw, np.bool_)
    found = {}
    for number, truth in sequence.truth(masks.frame_index).items():
        name = str(number)
        mask = masks.masks.get(name, empty)
        found[name] = jaccard(mask, truth), boundary_f(mask, truth), float(masks.confidence.get(name, 0.0))
    return found


def folder_of(out: Path, segmenter: Segmenter, sequence: DavisSequence, every: int) -> Path:
    """Where this sequence's passes lie: another one for other weights, program, engine, data, sampling."""
    clip = sequence.clip
    told: list[Any] = [segmenter.version, _program(), clip.size_hw, clip.names, sequence.objects, every]
    told += [str(getattr(segmenter, "short_side", "")), str(getattr(segmenter, "device", ""))]
    told.append(type(getattr(segmenter, "engine", segmenter)).__name__)
    told += [(path.name, path.stat().st_size) for path in sequence.mask_paths]
    digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:10]
    return out / f"{segmenter.version}-every{every}" / f"{sequence.name}-{digest}"


def _program() -> str:
    """A digest of the source that masks and scores depend on; kept passes of another program do not count."""
    root = Path(backends.__file__).parent
    rooms = ("core", "trunks", "engines", "video_object")
    sources = sorted(path for room in rooms for path in (root / room).rglob("*.py"))
    digest = hashlib.sha256()
    for path in sources:
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()
