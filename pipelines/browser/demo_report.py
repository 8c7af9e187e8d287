"""What ``make demo-check`` found, as numbers, as a table, and as sentences about what is wrong.

``j`` is the mean IoU over all frames after the painted first one and over all objects, 0..1; a mask that is
missing counts as empty. ``frames`` counts the frames on which every object has a mask.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.core.masks import iou
from backends.labelstudio.regions import Region, unite

WANTED_J = 0.80
FAIR_START = 0.90  # IoU of what was painted: with less, j would say little about the network


@dataclass(frozen=True)
class Scores:
    """IoU of one annotation with the truth, 0..1."""

    objects: tuple[str, ...]
    per_frame: tuple[Mapping[str, float], ...]
    """Per frame, for each object."""
    absent: tuple[tuple[int, str], ...]
    """(frame, object) where the truth has a mask and the annotation has none."""
    double: tuple[tuple[int, str], ...]
    """(frame, object) with more than one region."""

    @property
    def j(self) -> float:
        after = [score for frame in self.per_frame[1:] for score in frame.values()]
        return sum(after) / len(after)

    @property
    def frames(self) -> int:
        return len(self.per_frame) - len({frame for frame, _ in self.absent})


def score(regions: Sequence[Region], truth: Sequence[NDArray[np.uint8]], objects: tuple[str, ...]) -> Scores:
    """Compare; ``truth`` holds one index map per frame, (H, W) uint8, in which objects[i] is i + 1."""
    found = unite(regions)
    counts = Counter((region.frame_index, region.object_id) for region in regions)
    per_frame, absent = [], []
    for index, index_map in enumerate(truth):
        scores = {}
        for number, name in enumerate(objects, start=1):
            true = index_map == number
            mask = found.get((name, index))
            if mask is None and true.any():
                absent.append((index, name))
            scores[name] = iou(np.zeros_like(true) if mask is None else mask, true)
        per_frame.append(scores)
    double = sorted(place for place, count in counts.items() if count > 1)
    return Scores(objects, tuple(per_frame), tuple(absent), tuple(double))


def faults(scores: Scores, refusals: Sequence[str], leaks: Sequence[str]) -> list[str]:
    """What must not be, one sentence each; empty when all is well."""
    found = []
    for name, painted in scores.per_frame[0].items():
        if painted < FAIR_START:
            found.append(
                f"the painted mask of {name} has IoU {painted:.2f}, a fair start wants {FAIR_START:.2f}"
            )
    if scores.absent:
        found.append(f"no mask came for {_places(scores.absent)}")
    if scores.double:
        found.append(f"more than one region lies on {_places(scores.double)}")
    if scores.j < WANTED_J:
        found.append(f"the mean IoU is {scores.j:.3f}; at least {WANTED_J:.2f} is wanted")
    found += [f"a submitted region cannot be read: {refusal}" for refusal in refusals]
    if leaks:
        found.append(f"{len(leaks)} requests left Label Studio, the first to {leaks[0]}")
    return found


def as_json(scores: Scores) -> dict[str, Any]:
    """The scores for ``demo-check.json``; frames are numbered from 0."""
    rounded = [{name: round(value, 4) for name, value in frame.items()} for frame in scores.per_frame]
    return {
        "frames": scores.frames,
        "j": round(scores.j, 4),
        "painted": rounded[0],
        "per_frame": [{"frame": index, **frame} for index, frame in enumerate(rounded)],
    }


def table(scores: Scores) -> str:
    """One line per page, numbered from 1 as in the editor."""
    lines = ["page  " + "  ".join(f"{name:>8}" for name in scores.objects)]
    for index, frame in enumerate(scores.per_frame):
        note = "  painted" if index == 0 else ""
        lines.append(f"{index + 1:4}  " + "  ".join(f"{frame[n]:8.3f}" for n in scores.objects) + note)
    return "\n".join([*lines, f"mean IoU without the painted page: {scores.j:.3f}"])


def _places(places: Sequence[tuple[int, str]]) -> str:
    told = ", ".join(f"{name} on page {index + 1}" for index, name in places[:5])
    return told + (f" and {len(places) - 5} more" if len(places) > 5 else "")
