"""Which frame an annotator corrects next: the one we propose, one by lot, or evenly spaced ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import numpy as np

from backends.core.errors import BadInput
from pipelines.simulation.videos import TrueClip
from pipelines.studies.strategies import evenly, lowest

STRATEGIES = ("propose", "random", "even")

Corrected = tuple[int, ...]
Choose = Callable[[Corrected, Mapping[int, float]], Corrected]
"""Frames corrected so far, and how sure each frame is (the lowest first) -> the frames with one more.

Only ``even`` plans all of them anew.
"""


def chooser(strategy: str, clip: TrueClip, seed: int = 0) -> Choose:
    """``seed`` is for ``random`` alone, whose order is another one for each clip. Raises BadInput."""
    if strategy == "propose":
        return _propose
    if strategy == "random":
        return _at_random(clip, seed)
    if strategy == "even":
        return _evenly(clip)
    raise BadInput(f"unknown strategy {strategy!r}; known: {', '.join(STRATEGIES)}")


def _propose(corrected: Corrected, sure: Mapping[int, float]) -> Corrected:
    return (*corrected, lowest(sure, corrected))


def _at_random(clip: TrueClip, seed: int) -> Choose:
    name_seed = int.from_bytes(hashlib.sha256(clip.name.encode()).digest()[:4], "big")
    order = np.random.default_rng([seed, name_seed]).permutation(np.array(clip.open_frames))

    def choose(corrected: Corrected, sure: Mapping[int, float]) -> Corrected:
        return (*corrected, int(order[len(corrected)]))

    return choose


def _evenly(clip: TrueClip) -> Choose:
    n_frames = len(clip.paths)

    def choose(corrected: Corrected, sure: Mapping[int, float]) -> Corrected:
        count = len(corrected) + 1
        if clip.is_followed:
            return evenly(n_frames, count)
        return tuple(int((place + 0.5) * n_frames / count) for place in range(count))

    return choose
