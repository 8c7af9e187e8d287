"""A thread that says "still alive" while the main thread is busy."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

BEAT_S = 2.0


class Heartbeat:
    """Calls every beat each ``BEAT_S`` seconds; one that raises is logged once and tried again."""

    def __init__(self, beats: Sequence[Callable[[], None]], every_s: float = BEAT_S) -> None:
        self._beats = beats
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        failing: set[Callable[[], None]] = set()
        while not self._stop.wait(self._every_s):
            for beat in self._beats:
                try:
                    beat()
                    failing.discard(beat)
                except Exception as error:
                    if beat not in failing:
                        log.warning("heartbeat: %s; trying on", error)
                    failing.add(beat)
