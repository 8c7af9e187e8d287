"""Which videos are held out: decided once per video, written down, and never changed by us again.

A video that was trained on can never judge a model, and one that judged must never be trained on; so both
lists are kept. Clips of one video show the same things and always go the same way.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput
from backends.loop.files import write_json
from pipelines.export.manifest import Split

ONE_IN = 4
"""About one video in so many is held out, and at least one as soon as there are two."""


@dataclass(frozen=True)
class Frozen:
    """Every video that was ever decided on."""

    held_out: frozenset[str] = frozenset()
    train: frozenset[str] = frozenset()

    def split(self, video: str) -> Split:
        """A video that nobody decided on is in no snapshot; it trains."""
        return "held_out" if video in self.held_out else "train"


def freeze(path: Path, videos: Collection[str]) -> Frozen:
    """Decide on the new ones among ``videos`` and write it down, whole or not at all.

    ``path`` is the project's ``held_out.json``. Two processes take turns. Raises BadInput for a file that was
    spoilt, OSError when it cannot be written.
    """
    with _alone(path):
        known = read_frozen(path)
        decided = decide(known, videos)
        if decided != known:
            lists = {"held_out": sorted(decided.held_out), "train": sorted(decided.train)}
            write_json(path, lists)
    return decided


def decide(known: Frozen, videos: Collection[str]) -> Frozen:
    """The same with the new ``videos``. Of those the ones with the lowest hash are held out, as many as it
    takes for one in four of the videos that are there now."""
    there = set(videos)
    new = sorted(there - known.held_out - known.train, key=_hash)
    wanted = max(1, (len(there) + ONE_IN // 2) // ONE_IN) if len(there) > 1 else 0
    missing = max(0, wanted - len(there & known.held_out))
    return Frozen(known.held_out | set(new[:missing]), known.train | set(new[missing:]))


def read_frozen(path: Path) -> Frozen:
    """The lists in ``path``; nothing is decided where there is no such file. Raises BadInput."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Frozen()
    except (OSError, ValueError) as error:
        raise _spoilt(path, str(error)) from error
    held_out, train = _names(path, told, "held_out"), _names(path, told, "train")
    return Frozen(held_out, train - held_out)


def _names(path: Path, told: Any, key: str) -> frozenset[str]:
    names = told.get(key) if isinstance(told, Mapping) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _spoilt(path, f"{key!r} is no list of names")
    return frozenset(names)


def _spoilt(path: Path, why: str) -> BadInput:
    return BadInput(
        f"{path}: {why}. It says which videos are never trained on: mend it from a snapshot's manifest "
        "(videos); without it, videos that were trained on could be taken for unseen ones"
    )


def _hash(video: str) -> str:
    return hashlib.sha256(video.encode()).hexdigest()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(".held_out.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
