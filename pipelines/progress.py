"""Progress bars on stderr, behind a seam so that plain functions stay silent in tests and jobs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from tqdm import tqdm

T = TypeVar("T")


class Track(Protocol):
    """Passes items through while somebody watches; ``total`` None: not known beforehand."""

    def __call__(self, items: Iterable[T], *, total: int | None, label: str) -> Iterator[T]: ...


def quiet(items: Iterable[T], *, total: int | None, label: str) -> Iterator[T]:
    """Nobody watches."""
    yield from items


def bar(items: Iterable[T], *, total: int | None, label: str) -> Iterator[T]:
    """A tqdm bar on stderr; where stderr is a log file it is redrawn every ten seconds only."""
    yield from _drawn(items, total, label, "frame")


def clip_bar(items: Iterable[T], *, total: int | None, label: str) -> Iterator[T]:
    """The same where a step is a clip."""
    yield from _drawn(items, total, label, "clip")


def _drawn(items: Iterable[T], total: int | None, label: str, unit: str) -> Iterator[T]:
    pause_s = 0.1 if sys.stderr.isatty() else 10.0
    yield from tqdm(items, total=total, desc=label, unit=unit, mininterval=pause_s, file=sys.stderr)
