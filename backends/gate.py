"""How much the server takes on at once. What does not fit is refused in milliseconds, never queued unseen."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from backends.core.errors import Unavailable


class Busy(Unavailable):
    """All places are taken; ``retry_after_s`` says when to ask again."""

    retry_after_s = 5


class Gate:
    """At most ``limit`` callers inside; the next one gets Busy at once."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._places = threading.BoundedSemaphore(limit)
        self._inside = 0
        self._count = threading.Lock()

    @property
    def inside(self) -> int:
        """How many callers are inside now."""
        return self._inside

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold one place for the length of the block; raises Busy when there is none."""
        if not self._places.acquire(blocking=False):
            raise Busy(
                f"{self.limit} requests are already being worked on; "
                "wait a few seconds and repeat the click, nothing was lost"
            )
        with self._count:
            self._inside += 1
        try:
            yield
        finally:
            with self._count:
                self._inside -= 1
            self._places.release()


class Counters:
    """Monotonic counts with labels, in the words of Prometheus' text format."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Raise ``name`` by ``amount``; label values come from fixed sets, never from a request's text."""
        with self._lock:
            self._counts[name, tuple(sorted(labels.items()))] += amount  # type: ignore[assignment]

    def text(self) -> str:
        """All counters, one per line, sorted by name."""
        with self._lock:
            rows = sorted(self._counts.items())
        lines: list[str] = []
        for index, ((name, labels), value) in enumerate(rows):
            if index == 0 or rows[index - 1][0][0] != name:
                lines.append(f"# TYPE {name} counter")
            lines.append(f"{name}{label_text(dict(labels))} {value:g}")
        return "\n".join(lines) + "\n" if lines else ""


def label_text(labels: dict[str, str]) -> str:
    """``{a="1",b="2"}``, or nothing when there are no labels."""
    if not labels:
        return ""
    inner = ",".join(
        '{}="{}"'.format(key, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " "))
        for key, value in labels.items()
    )
    return "{" + inner + "}"
