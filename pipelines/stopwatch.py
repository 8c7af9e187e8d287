"""How long a segmenter takes per frame, without the time it waits for frames to be read and decoded."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from backends.core.types import Clip, FrameMasks, Frames, Image, Prompt, Segmenter


class Stopwatch:
    """Runs a segmenter and keeps one lap, in ms, for every frame it yields."""

    def __init__(self) -> None:
        self.laps_ms: list[float] = []

    def segment(self, segmenter: Segmenter, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """What ``segmenter.segment`` yields, timed; the caller's own work between frames is not counted."""
        reader = _TimedFrames(clip.frames)
        stream = iter(segmenter.segment(replace(clip, frames=reader), prompts))
        while True:
            started, read_before = time.perf_counter(), reader.read_s
            masks = next(stream, None)
            if masks is None:
                return
            spent_s = time.perf_counter() - started - (reader.read_s - read_before)
            self.laps_ms.append(1000 * spent_s)
            yield masks

    @property
    def ms_per_frame(self) -> float:
        """The median lap, in ms; 0 before the first."""
        return round(statistics.median(self.laps_ms), 3) if self.laps_ms else 0.0


class _TimedFrames:
    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._thread = threading.get_ident()
        self.read_s = 0.0

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int, /) -> Image:
        started = time.perf_counter()
        try:
            return self._frames[index]
        finally:
            if (
                threading.get_ident() == self._thread
            ):  # reading ahead in another thread costs the caller nothing
                self.read_s += time.perf_counter() - started
