"""Times that can be compared: all candidates in turn, round after round, so that what disturbs the machine
disturbs them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Candidate:
    """One thing to be timed."""

    lap: Callable[[], object]
    """Does it once."""
    prepare: Callable[[], object] = lambda: None
    """Comes before the laps of a round and is not timed: sets the number of threads, say."""
    laps_ms: list[float] = field(default_factory=list)

    @property
    def median_ms(self) -> float:
        """Median over all laps of all rounds."""
        return round(float(np.median(self.laps_ms)), 3)

    @property
    def p95_ms(self) -> float:
        """95 of 100 laps took no longer."""
        return round(float(np.percentile(self.laps_ms, 95)), 3)


def take_turns(candidates: Mapping[str, Candidate], *, rounds: int, laps: int, warm_up: int) -> None:
    """Fill ``laps_ms`` of all candidates; ``warm_up`` laps of each come first and do not count."""
    for candidate in candidates.values():
        _laps(candidate, warm_up)
        candidate.laps_ms.clear()
    for _ in range(rounds):
        for candidate in candidates.values():
            _laps(candidate, laps)


def _laps(candidate: Candidate, count: int) -> None:
    candidate.prepare()
    for _ in range(count):
        begun = time.perf_counter()
        candidate.lap()
        candidate.laps_ms.append((time.perf_counter() - begun) * 1000.0)
