"""What the last clicks on one object on one frame led to.

With Auto-Accept on, the editor sends each click alone and saves its draft seconds later, so what a person
clicked a moment ago is known only here. Memory is a help, not a truth: it is bounded, it is lost on restart,
and a mask that the person changed by hand since then wins over it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from backends.core.masks import digest, pack, unpack
from backends.core.types import Mask, PointPrompt

KEPT = 512  # objects on frames; a packed mask is about 1 kB
LAG_S = 8.0  # a draft may be older than the last answer by this much (autosave takes 5 s)
MAX_POINTS = 200  # per object and frame


@dataclass(frozen=True)
class Spot:
    """One object on one frame of one task."""

    task_id: int
    object_id: str
    frame_index: int


@dataclass
class _Trace:
    packed: bytes
    size_hw: tuple[int, int]
    points: tuple[PointPrompt, ...]
    at: float
    known: set[str] = field(default_factory=set)  # digests that lead here, "" for no mask


class ClickMemory:
    """Thread-safe; the least recently used spots go first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._traces: OrderedDict[Spot, _Trace] = OrderedDict()

    def recall(
        self, spot: Spot, saved: Mask | None, points: Sequence[PointPrompt]
    ) -> tuple[Mask | None, tuple[PointPrompt, ...]]:
        """The mask to start from and all clicks that still count, the new ones last.

        ``saved`` is the object's mask in the draft. One that did not come from here was made by hand, so it
        is the start and earlier clicks are forgotten; a missing one was deleted, unless it may still be on
        its way.
        """
        with self._lock:
            trace = self._traces.get(spot)
            if trace is None or not self._counts(trace, saved):
                self._traces.pop(spot, None)
                return saved, tuple(points)
            earlier = [point for point in trace.points if point not in points]
            mask = unpack(trace.packed, trace.size_hw)
        return mask, (*earlier, *points)[-MAX_POINTS:]

    def _counts(self, trace: _Trace, saved: Mask | None) -> bool:
        recent = self._clock() - trace.at < LAG_S
        if saved is None:
            return recent
        if saved.shape != trace.size_hw:
            return False
        name = digest(saved)
        return name == digest(unpack(trace.packed, trace.size_hw)) or (recent and name in trace.known)

    def remember(self, spot: Spot, mask: Mask, points: Sequence[PointPrompt], saved: Mask | None) -> None:
        """Keep what was just answered, and what it started from."""
        size_hw = (mask.shape[0], mask.shape[1])
        trace = _Trace(pack(mask), size_hw, tuple(points), self._clock())
        with self._lock:
            earlier = self._traces.pop(spot, None)
            known = {"" if saved is None else digest(saved)}
            if earlier is not None:
                known |= earlier.known | {digest(unpack(earlier.packed, earlier.size_hw))}
            trace.known = known if len(known) <= MAX_POINTS else set()
            self._traces[spot] = trace
            while len(self._traces) > KEPT:
                self._traces.popitem(last=False)
