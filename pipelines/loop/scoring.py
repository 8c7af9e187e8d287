"""Candidate and served version on the same held-out clips of a snapshot, and on the same benchmark."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from backends.core.errors import BadInput
from backends.settings import Settings
from pipelines.export.snapshot import Snapshot
from pipelines.loop import benchmark
from pipelines.loop.examples import Examples
from pipelines.loop.plan import data_of
from pipelines.loop.scores import Scores
from pipelines.progress import Track, quiet

_WORTH_GRAPHS = 150
"""Held-out frames from which on making graphs of a network takes less time than they save."""


@dataclass(frozen=True)
class Judge:
    """What versions of one algorithm are scored with."""

    snapshot: Snapshot
    settings: Settings
    """``device``, ``threads`` and ``engine`` count."""
    benchmark: str = ""

    def score(
        self, weights: Path, version: str, *, examples: Examples | None = None, progress: Track = quiet
    ) -> Scores:
        """The version's figures with their counts.

        Raises FloatingPointError for weights that are no numbers, BadInput for an unknown kind of snapshot,
        BadMedia and BadMask for what cannot be read.
        """
        refuse_nonsense(weights)
        kind = str(self.snapshot.manifest.get("kind"))
        if kind not in _SCORE:
            raise BadInput(f"{self.snapshot.folder}: a snapshot of kind {kind!r} cannot be scored")
        found = _SCORE[kind](self, weights, version, examples, progress)
        return replace(found, benchmark=found.benchmark or benchmark.nothing(kind, self.benchmark))


def refuse_nonsense(weights: Path) -> None:
    """Raise FloatingPointError when one of the weights is no number: no score could tell it apart."""
    from backends.training.files import read_tensors

    for name, value in read_tensors(weights)[0].items():
        if value.is_floating_point() and not math.isfinite(float(value.float().abs().sum())):
            raise FloatingPointError(f"the weights {name} are no numbers")


def _objects(judge: Judge, weights: Path, version: str, examples: Examples | None, progress: Track) -> Scores:
    from backends.catalogue import ALGORITHMS
    from pipelines.loop.score_objects import held_out_sequences, score_objects

    sequences, data = held_out_sequences(judge.snapshot), data_of(judge.snapshot)
    settings = judge.settings
    if settings.engine == "auto" and sum(len(one.clip) for one in sequences) < _WORTH_GRAPHS:
        settings = replace(settings, engine="torch")
    segmenter = ALGORITHMS["video_object"].load(weights, settings, version)
    found = score_objects(segmenter, sequences, data, examples=examples, progress=progress)
    if benchmark.nothing("video_object", judge.benchmark):
        return found
    return replace(found, benchmark=benchmark.of_objects(segmenter, judge.benchmark, progress))


def _scenes(judge: Judge, weights: Path, version: str, examples: Examples | None, progress: Track) -> Scores:
    from backends.video_semantic.loaders import open_scenes
    from backends.video_semantic.weights_file import load_weights
    from pipelines.loop.score_scenes import score_scenes

    network, scenes = load_weights(weights), open_scenes(judge.snapshot.folder, "val")
    clips, device = judge.snapshot.manifest["clips"], judge.settings.device
    found = score_scenes(
        network,
        version,
        scenes,
        data_of(judge.snapshot),
        device=device,
        video_of=lambda name: str(clips[name]["video"]),
        examples=examples,
        progress=progress,
    )
    if benchmark.nothing("video_semantic", judge.benchmark):
        return found
    return replace(found, benchmark=benchmark.of_scenes(network, judge.benchmark, device, progress))


def _photos(judge: Judge, weights: Path, version: str, examples: Examples | None, progress: Track) -> Scores:
    from backends.weak_shot.loaders import open_photos
    from backends.weak_shot.weights_file import load
    from pipelines.loop.score_photos import score_photos

    device = judge.settings.device
    bundle, photos = load(weights, device), open_photos(judge.snapshot.folder, 0)
    data = data_of(judge.snapshot)
    found = score_photos(bundle, version, photos, data, device=device, examples=examples, progress=progress)
    if benchmark.nothing("weak_shot", judge.benchmark):
        return found
    return replace(found, benchmark=benchmark.of_photos(bundle, judge.benchmark, device, progress))


_SCORE: Mapping[str, Callable[[Judge, Path, str, Examples | None, Track], Scores]] = {
    "video_object": _objects,
    "video_semantic": _scenes,
    "weak_shot": _photos,
}
