"""From figures of pairs to figures of frames: how steady each is, and which ones a person should look at.

A frame has two neighbours. Its own figure is the mean of its agreement with both, so that a single frame that
is wrong stands lower than the good ones beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Literal

from backends.ledger import ClipFigures, Pair
from backends.ledger.clip_figures import mean_of

Sight = Literal["seen", "every"]
"""Over the pixels that both neighbours see, or over all of them."""

WORST_NAMED = 2
STILL = 0.995
"""From here on neighbours agree as far as anyone can see."""


@dataclass(frozen=True)
class FrameFigures:
    """One frame; shares 0..1, None where nothing was compared."""

    index: int
    opens_scene: bool
    unread: str
    """Why it could not be compared, in words; empty when it was."""
    share: float | None
    before: float | None
    """Agreement with the frame before, mean over the classes."""
    after: float | None
    per_class: Mapping[str, float] = field(default_factory=dict)

    @property
    def worst(self) -> tuple[tuple[str, float], ...]:
        """The classes that agree least, at most :data:`WORST_NAMED`; none that stands still."""
        moving = [(name, share) for name, share in self.per_class.items() if share < STILL]
        return tuple(sorted(moving, key=lambda item: (item[1], item[0]))[:WORST_NAMED])


def by_frame(figures: ClipFigures, n_frames: int, sight: Sight = "seen") -> list[FrameFigures]:
    """One entry per frame, in order."""
    pairs = figures.pairs
    return [
        _frame(
            index,
            pairs[index - 1] if 0 < index <= len(pairs) else None,
            pairs[index] if index < len(pairs) else None,
            figures.unread.get(index, ""),
            sight,
        )
        for index in range(n_frames)
    ]


def _frame(index: int, before: Pair | None, after: Pair | None, unread: str, sight: Sight) -> FrameFigures:
    sides = [getattr(pair, sight) if pair is not None else {} for pair in (before, after)]
    means = [mean_of(side) for side in sides]
    known = [mean for mean in means if mean is not None]
    names = dict.fromkeys(name for side in sides for name in side)
    shares = {name: _mean([side[name] for side in sides if name in side]) for name in names}
    is_cut = before is not None and before.bond == "cut"
    return FrameFigures(index, is_cut, unread, _mean(known) if known else None, means[0], means[1], shares)


def need_eyes(figures: ClipFigures, n_frames: int, most: int) -> list[FrameFigures]:
    """Frames to look at: those that could not be compared, then the least steady ones, lowest first.

    Each pair of neighbours is told once, by its shakier frame: the steady frames beside a wrong one are not
    listed for its sake. What is no shakier than half of the clip does not stand out and is left out.
    """
    frames = by_frame(figures, n_frames)
    agreed = {
        index: share for index, pair in enumerate(figures.pairs) if (share := mean_of(pair.seen)) is not None
    }
    usual = median(agreed.values()) if agreed else 1.0
    shaky: list[FrameFigures] = []
    while len(shaky) < most:
        found = min(frames, key=partial(_rank, agreed))
        if _left(agreed, found) >= (usual if shaky else STILL):
            break
        shaky.append(found)
        agreed = {pair: share for pair, share in agreed.items() if pair not in (found.index - 1, found.index)}
    shaky.sort(key=lambda frame: 1.0 if frame.share is None else frame.share)
    return [*(frame for frame in frames if frame.unread), *shaky][:most]


def _rank(agreed: Mapping[int, float], frame: FrameFigures) -> tuple[float, float, int]:
    """Lowest first; of two with the same left to tell the shakier, then the later one."""
    return _left(agreed, frame), 1.0 if frame.share is None else frame.share, -frame.index


def _left(agreed: Mapping[int, float], frame: FrameFigures) -> float:
    """Mean agreement over those of a frame's pairs that are not told yet; 1 where all are."""
    shares = [agreed[pair] for pair in (frame.index - 1, frame.index) if pair in agreed]
    return _mean(shares) if shares else 1.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
