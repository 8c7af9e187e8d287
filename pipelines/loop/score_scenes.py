"""Scores a whole-scene network on labelled footage: IoU by class and by video, from counts of pixels.

Classes are those of the footage, matched to the network's by name; what it takes for a class that the footage
does not have is wrong, and a class that it does not know scores 0. Counted are the classes that the labels
show: two versions are then compared over the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backends.core.confusion import Confusion
from backends.core.types import Image
from backends.video_semantic.consistency import Consistency, motion
from backends.video_semantic.reader import ClipReader
from backends.video_semantic.scenes import Footage, Scenes
from backends.video_semantic.weights_file import SceneWeights
from pipelines.loop.examples import Examples
from pipelines.loop.scores import Data, Figure, Scores
from pipelines.progress import Track, quiet

SLOWEST_HZ = 5.0
"""Below that, neighbours have too little in common to be compared."""

LabelMap = NDArray[np.uint8]


@dataclass
class Tally:
    """What was counted over some footage: ``n`` classes and one more for what is none of them."""

    n: int
    confusion: Confusion = field(init=False)
    frames: NDArray[np.int64] = field(init=False)
    """(n,) labelled frames that show each class."""
    labelled: int = 0

    def __post_init__(self) -> None:
        self.confusion = Confusion(self.n + 1)
        self.frames = np.zeros(self.n, np.int64)

    def add(self, truth: LabelMap, answer: LabelMap) -> None:
        """Count one frame."""
        self.confusion.add(truth, answer)
        self.frames += np.bincount(truth.ravel(), minlength=256)[: self.n] > 0
        self.labelled += 1

    def merge(self, other: Tally) -> None:
        """Count another's frames too."""
        self.confusion.merge(other.confusion)
        self.frames += other.frames
        self.labelled += other.labelled

    def figures(self, names: Sequence[str]) -> dict[str, Figure]:
        """IoU in points of the classes that the labels show."""
        iou = self.confusion.iou()
        return {
            name: Figure(100 * float(iou[i]), int(self.frames[i]))
            for i, name in enumerate(names)
            if self.frames[i]
        }


def score_scenes(
    weights: SceneWeights,
    version: str,
    scenes: Scenes,
    data: Data,
    *,
    device: str = "cpu",
    video_of: Callable[[str], str] = lambda name: name,
    examples: Examples | None = None,
    progress: Track = quiet,
) -> Scores:
    """Mean IoU over the shown classes, in points; ``temporal_consistency`` beside it.

    ``video_of`` names the video of a piece of footage. Raises BadMedia and BadMask like Scenes.
    """
    names = scenes.classes
    whole, steady = Tally(len(names)), Consistency(len(names) + 1)
    videos: dict[str, Tally] = {}
    for number, part in enumerate(scenes.footage):
        tally = _footage(weights, scenes, number, device, steady, examples, progress)
        videos.setdefault(video_of(part.name), Tally(len(names))).merge(tally)
        whole.merge(tally)
    per_class = whole.figures(names)
    return Scores(
        version,
        "miou",
        mean([figure.value for figure in per_class.values()]),
        per_class,
        data,
        {name: _whole(tally, names) for name, tally in sorted(videos.items())},
        {"temporal_consistency": 100 * steady.overall},
        unknown=tuple(name for name in per_class if name not in weights.classes),
    )


def matched(classes: Sequence[str], names: Sequence[str]) -> LabelMap:
    """(256,) what a network over ``classes`` says -> ids of ``names``, ``len(names)`` for none of them."""
    table = np.full(256, len(names), np.uint8)
    for number, name in enumerate(classes):
        if name in names:
            table[number] = list(names).index(name)
    return table


def mean(values: Sequence[float]) -> float:
    """NaN for none."""
    return sum(values) / len(values) if values else math.nan


def _footage(
    weights: SceneWeights,
    scenes: Scenes,
    number: int,
    device: str,
    steady: Consistency,
    examples: Examples | None,
    progress: Track,
) -> Tally:
    part, table = scenes.footage[number], matched(weights.classes, scenes.classes)
    tally, reader = Tally(len(scenes.classes)), ClipReader(weights, device)
    before: tuple[Image, LabelMap] | None = None
    last = max(part.labels)
    for index in progress(range(last + 1), total=last + 1, label=part.name):
        image = scenes.image(number, index)
        if part.rate_hz < SLOWEST_HZ:
            reader.reset()
        answer = table[reader.push(image).labels]
        if before is not None and part.rate_hz >= SLOWEST_HZ and before[0].shape == image.shape:
            steady.add_moved(motion(before[0], image), before[1], answer)
        before = image, answer
        if index in part.labels:
            truth = scenes.labels(number, index)
            tally.add(truth, answer)
            if examples is not None and index == last:
                examples.put(part.name, index, _place(part, index), truth, answer)
    return tally


def _place(part: Footage, index: int) -> str:
    """A snapshot's frames are two folders deep."""
    return "/".join(part.frames[index].parts[-3:])


def _whole(tally: Tally, names: Sequence[str]) -> Figure:
    return Figure(mean([figure.value for figure in tally.figures(names).values()]), tally.labelled)
