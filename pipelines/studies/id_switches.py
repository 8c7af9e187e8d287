"""Identity measures for look-alikes: whom a mask follows, frame by frame.

On each frame an object's mask *follows* the true object with which it has the greatest J (intersection over
union); ties go to its own, and below ``LOST_J`` it follows nobody (it is lost). Frames on which the object's
own truth is hidden do not count. From this:

- a frame is **switched** when the mask follows another object; the switched share is over (object, frame)
  pairs, the clip share counts clips with at least one switched pair;
- a **switch event** is a change of the one followed from one visible frame to the next on which somebody is
  followed (as ID switches in CLEAR MOT, Bernardin and Stiefelhagen 2008); there and back again counts two;
- ``ended_switched`` tells whether the last one followed was another;
- a frame is **spilled** when the mask covers at least half of another object, beside its own or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from backends.core.metrics import jaccard
from backends.core.types import Mask

LOST_J = 0.1


@dataclass(frozen=True)
class Track:
    """How one object fared in one clip. ``frames`` counts those on which it is visible."""

    frames: int
    switched: int
    lost: int
    spilled: int
    events: int
    ended_switched: bool
    j: float
    """Mean J over all frames looked at, 0..1; hidden and rightly empty scores 1, as in DAVIS."""


def followed(mask: Mask, truths: Mapping[int, Mask], own: int) -> int | None:
    """The object that the mask (H, W) follows, None when it is lost; ``own`` is a key of ``truths``."""
    scores = {number: jaccard(mask, truth) if truth.any() else 0.0 for number, truth in truths.items()}
    best = max(scores, key=lambda number: (scores[number], number == own))
    return best if scores[best] >= LOST_J else None


def track(masks: Sequence[Mask], truths: Sequence[Mapping[int, Mask]], own: int) -> Track:
    """Follow one object through the frames behind its given one. Both hold one item per frame, in order."""
    frames = switched = lost = spilled = events = 0
    last = own
    for mask, truth in zip(masks, truths, strict=True):
        if not truth[own].any():
            continue
        frames += 1
        spilled += _covers_another(mask, truth, own)
        now = followed(mask, truth, own)
        if now is None:
            lost += 1
            continue
        switched += now != own
        events += now != last
        last = now
    j = float(np.mean([jaccard(mask, truth[own]) for mask, truth in zip(masks, truths, strict=True)]))
    return Track(frames, switched, lost, spilled, events, last != own, j)


def _covers_another(mask: Mask, truths: Mapping[int, Mask], own: int) -> bool:
    others = [truth for number, truth in truths.items() if number != own and truth.any()]
    return any(np.count_nonzero(mask & truth) * 2 >= np.count_nonzero(truth) for truth in others)


def rates(clips: Iterable[Sequence[Track]]) -> dict[str, float]:
    """Over all clips: percentages, events per object, mean J (0..100) over objects."""
    listed = [list(tracks) for tracks in clips]
    tracks = [t for clip in listed for t in clip]
    frames = max(1, sum(t.frames for t in tracks))
    return {
        "clips": len(listed),
        "objects": len(tracks),
        "switched_frames": round(100 * sum(t.switched for t in tracks) / frames, 3),
        "switched_clips": round(100 * float(np.mean([any(t.switched for t in c) for c in listed])), 3),
        "ended_switched": round(100 * float(np.mean([t.ended_switched for t in tracks])), 3),
        "events_per_object": round(float(np.mean([t.events for t in tracks])), 4),
        "lost_frames": round(100 * sum(t.lost for t in tracks) / frames, 3),
        "spilled_frames": round(100 * sum(t.spilled for t in tracks) / frames, 3),
        "j": round(100 * float(np.mean([t.j for t in tracks])), 3),
    }
