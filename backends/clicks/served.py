"""Clicks as the server answers them: by the network once its graphs are there, by GrabCut until then.

GrabCut also answers where the network cannot: no weights, no torch to export them, no ONNX Runtime, a fault
while it works. An annotator gets a mask in every case, and the console says which method is at work.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from backends.clicks.grabcut import grabcut_mask
from backends.clicks.graphs import WEIGHTS, open_learned
from backends.clicks.learned import LearnedClicks
from backends.core.errors import BadInput
from backends.core.types import BoxPrompt, Image, Mask, PointPrompt

log = logging.getLogger(__name__)


class ServedClicks:
    """Thread-safe. ``tell`` gets one sentence for people whenever GrabCut has to stand in for good."""

    def __init__(
        self,
        graphs: Path,
        threads: int,
        *,
        weights: Path = WEIGHTS,
        tell: Callable[[str], object] = log.warning,
    ) -> None:
        self._graphs, self._threads, self._weights, self._tell = graphs, threads, weights, tell
        self._learned: LearnedClicks | None = None
        self._told = False

    def start(self) -> threading.Thread:
        """Prepare the network beside everything else; clicks are answered all the while."""
        thread = threading.Thread(target=self.prepare, name="click-graphs", daemon=True)
        thread.start()
        return thread

    def prepare(self) -> None:
        """Export the graphs where they are missing and open them. Never raises."""
        try:
            self._learned = open_learned(self._graphs, self._threads, self._weights)
        except Exception as error:  # whatever it is, GrabCut answers
            log.warning("clicks stay with GrabCut", exc_info=error)
            self._say(f"Clicks are answered by GrabCut, the network is not at hand: {error}")

    @property
    def method(self) -> str:
        """Who answers the next click: ``learned`` or ``grabcut``."""
        return "grabcut" if self._learned is None else "learned"

    def mask(
        self,
        image: Image,
        points: Sequence[PointPrompt],
        boxes: Sequence[BoxPrompt] = (),
        previous: Mask | None = None,
    ) -> Mask:
        """One object's mask on one frame; see :meth:`LearnedClicks.mask`. Raises BadMedia or BadMask."""
        if self._learned is not None:
            try:
                return self._learned.mask(image, points, boxes, previous)
            except BadInput:
                raise
            except Exception as error:  # a fault of the network must not cost the annotator their click
                log.error("the network failed at a click", exc_info=error)
                self._say(f"A click was answered by GrabCut, the network failed: {error}")
        return grabcut_mask(image, points, boxes, previous)

    def _say(self, text: str) -> None:
        if not self._told:
            self._told = True
            self._tell(" ".join(text.split())[:300])
