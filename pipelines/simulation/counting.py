"""One clip corrected until it is good enough: how many frames does that take?

A corrected frame counts as corrected, as in what a person hands in. The first frame of followed objects is
given and counts as no correction. Figures are points, 0 to 100.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.core.metrics import boundary_f, jaccard
from backends.core.types import FrameMasks, Mask
from pipelines.loop.score_scenes import Tally, mean
from pipelines.simulation.choosing import Choose, Corrected
from pipelines.simulation.videos import TrueClip

Figures = Mapping[str, float]
Frames = Mapping[int, FrameMasks]
METRIC = {"video_object": "j", "video_semantic": "miou"}
"""The figure that has to reach the target."""
SHOWN = {"video_object": "j_and_f", "video_semantic": "miou"}
"""The figure that is told of proposals."""


@dataclass(frozen=True)
class Goal:
    """``target`` points of the metric, or ``most`` corrected frames, whichever comes first."""

    target: float
    most: int


@dataclass(frozen=True)
class Count:
    """What one clip took; ``figures[k]`` is after k corrections."""

    corrected: Corrected
    figures: tuple[Figures, ...]
    reached: bool

    @property
    def corrections(self) -> int:
        """Frames that were corrected; where the target was not reached, all that were allowed."""
        return len(self.corrected)

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        figures = [{name: round(value, 3) for name, value in one.items()} for one in self.figures]
        return {"corrected": list(self.corrected), "figures": figures, "reached": self.reached}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Count:
        """Inverse of :meth:`to_json`."""
        return cls(tuple(told["corrected"]), tuple(told["figures"]), bool(told["reached"]))


@dataclass(frozen=True)
class Look:
    """What can be known of a clip with some frames corrected."""

    figures: Figures
    sure: Mapping[int, float]
    """Frame -> how sure it is, of those that may be corrected."""


def count(look: Callable[[Corrected], Look], choose: Choose, goal: Goal, metric: str) -> Count:
    """Correct one frame after the other. ``look`` answers what the clip is like with these corrected."""
    corrected: Corrected = ()
    now = look(corrected)
    figures = [now.figures]
    most = min(goal.most, len(now.sure))
    while now.figures[metric] < goal.target and len(corrected) < most:
        corrected = choose(corrected, now.sure)
        now = look(corrected)
        figures.append(now.figures)
    return Count(corrected, tuple(figures), now.figures[metric] >= goal.target)


class ObjectScorer:
    """J and F of a clip of objects, as DAVIS has them: neither the given frame nor the last one counts."""

    def __init__(self, clip: TrueClip) -> None:
        self._frames = clip.open_frames
        self._truth = {frame: clip.masks(frame) for frame in self._frames}
        self._kept: dict[tuple[int, str], tuple[bytes, float, float]] = {}

    def look(self, shown: Frames, corrected: Corrected) -> Look:
        """``shown``: what was propagated; a corrected frame scores as the truth."""
        j, f = [], []
        for frame, truth in self._truth.items():
            for label, mask in truth.items():
                is_true = frame in corrected
                found = (1.0, 1.0) if is_true else self._score(frame, label, shown[frame], mask)
                j.append(found[0])
                f.append(found[1])
        figures = {"j": 100 * float(np.mean(j)), "f": 100 * float(np.mean(f))}
        sure = {frame: _mean_confidence(shown[frame]) for frame in self._frames}
        return Look({**figures, "j_and_f": (figures["j"] + figures["f"]) / 2}, sure)

    def _score(self, frame: int, label: str, shown: FrameMasks, truth: Mask) -> tuple[float, float]:
        """Worked out again only where the mask changed: most of a clip stays from one correction on."""
        found = shown.masks.get(label)
        found = np.zeros(truth.shape, np.bool_) if found is None else found
        pixels = np.packbits(found).tobytes()
        kept = self._kept.get((frame, label))
        if kept is None or kept[0] != pixels:
            kept = pixels, jaccard(found, truth), boundary_f(found, truth)
            self._kept[frame, label] = kept
        return kept[1], kept[2]


class SceneScorer:
    """Mean IoU of a clip of whole scenes over the classes that its true labels show."""

    def __init__(self, clip: TrueClip, shown: Frames, sure: Mapping[int, float]) -> None:
        """``shown``: every frame as it was labelled; corrections change no other frame."""
        self._names, self._sure = clip.labels, sure
        self._proposed: dict[int, Tally] = {}
        self._corrected: dict[int, Tally] = {}
        for frame in clip.open_frames:
            truth = _label_map(clip.truth(frame), clip.labels, clip.clip.size_hw, 255)
            answer = _label_map(shown[frame].masks, clip.labels, clip.clip.size_hw, len(clip.labels))
            self._proposed[frame] = self._tally(truth, answer)
            self._corrected[frame] = self._tally(truth, np.where(truth == 255, len(clip.labels), truth))

    def look(self, corrected: Corrected) -> Look:
        """The clip with these frames as they truly are."""
        whole = Tally(len(self._names))
        for frame, tally in self._proposed.items():
            whole.merge(self._corrected[frame] if frame in corrected else tally)
        figures = whole.figures(self._names)
        return Look({"miou": mean([figure.value for figure in figures.values()])}, self._sure)

    def _tally(self, truth: np.ndarray[Any, Any], answer: np.ndarray[Any, Any]) -> Tally:
        tally = Tally(len(self._names))
        tally.add(truth, answer)
        return tally


def _mean_confidence(frame: FrameMasks) -> float:
    return float(np.mean(list(frame.confidence.values()))) if frame.confidence else 0.0


def _label_map(
    masks: Mapping[str, Mask], names: tuple[str, ...], size_hw: tuple[int, int], nothing: int
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    drawn = np.full(size_hw, nothing, np.uint8)
    for label, mask in masks.items():
        drawn[mask] = names.index(label)
    return drawn
