"""Model versions on disk and the pointer to the served one. Knows files and names, no tensors.

A version is a folder ``models_dir/<algorithm>/<version>`` of ``weights.safetensors`` and ``card.json``. The
pointer ``served`` is a text file beside them, replaced atomically: its first line names the served version,
the lines below what was served before, newest first. Without it the shipped weights are served.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput, SetupFault

SHIPPED = "shipped"
"""Stands for the weights that came with this release, in the pointer and where a version is named."""

_VERSION = re.compile(r"[a-z][a-z0-9_]*-[0-9a-f]{8}")
_SHIPPED = Path(__file__).parent
_REMEMBERED = 20  # versions that can be rolled back to, one after another


@dataclass(frozen=True)
class Served:
    """A model version and where its weights are."""

    version: str
    weights: Path


@dataclass(frozen=True)
class Version:
    """One version that could be served; ``added_at`` in seconds since the epoch."""

    name: str
    weights: Path
    is_served: bool
    is_shipped: bool
    added_at: float
    card: Mapping[str, Any] = field(default_factory=dict)
    """Where it came from and how it scored; empty when nobody said."""


class Registry:
    """Versions below one folder."""

    def __init__(self, models_dir: Path):
        self.models_dir = models_dir

    def served(self, algorithm: str) -> Served:
        """The version to answer with. Raises SetupFault when neither a promoted nor a shipped one exists."""
        version = self._pointer(algorithm)[0]
        if version == SHIPPED:
            return self.shipped(algorithm)
        weights = self._folder(algorithm, version) / "weights.safetensors"
        if weights.is_file():
            return Served(version, weights)
        raise SetupFault(
            f"{self._pointer_path(algorithm)} names {version!r} without {weights}; promote another version"
        )

    def versions(self, algorithm: str) -> list[Version]:
        """All versions there are, newest first, the shipped one last. Whole ones only."""
        now = self._pointer(algorithm)[0]
        folder = self.models_dir / algorithm
        names = [p.name for p in folder.iterdir() if _VERSION.fullmatch(p.name)] if folder.is_dir() else []
        found = []
        for name in names:
            weights = folder / name / "weights.safetensors"
            if weights.is_file():
                card = _card(folder / name / "card.json")
                found.append(Version(name, weights, name == now, False, weights.stat().st_mtime, card))
        found.sort(key=lambda version: (-version.added_at, version.name))
        try:
            shipped = self.shipped(algorithm)
        except SetupFault:
            return found
        added_at = shipped.weights.stat().st_mtime
        return [*found, Version(shipped.version, shipped.weights, now == SHIPPED, True, added_at)]

    def add(self, algorithm: str, weights: Path, card: Mapping[str, Any] | None = None) -> Served:
        """Copy ``weights`` in under their content's name; the same file twice is one version.

        ``card`` (JSON values) says where they came from. It is on disk before the version can be seen.
        """
        version = version_of(algorithm, weights)
        folder = self._folder(algorithm, version)
        with self._alone(algorithm):
            if not (folder / "weights.safetensors").is_file():
                part = folder.with_name(folder.name + ".part")
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir(parents=True)
                if card is not None:
                    _write(part / "card.json", json.dumps(card, indent=1, allow_nan=False).encode())
                shutil.copyfile(weights, part / "weights.safetensors")
                _flush(part / "weights.safetensors")
                part.replace(folder)
        return Served(version, folder / "weights.safetensors")

    def promote(self, algorithm: str, version: str) -> Served:
        """Serve ``version`` (or the word ``shipped``) from the next request on; returns what is served.

        Raises BadInput for a version that is not there or whose file is not what its name says, SetupFault
        for ``shipped`` where nothing was shipped. Whatever dies in between, the old or the new one is served.
        """
        with self._alone(algorithm):
            chosen = self._whole(algorithm, version)
            before = self._pointer(algorithm)
            if version != before[0]:
                self._point(algorithm, [version, *before])
        return chosen

    def roll_back(self, algorithm: str) -> Served:
        """Serve again what was served before the last promotion; returns it.

        Versions that are gone since are passed over. Raises BadInput when nothing was served before.
        """
        with self._alone(algorithm):
            before = self._pointer(algorithm)[1:]
            while before:
                try:
                    chosen = self._whole(algorithm, before[0])
                except (BadInput, SetupFault):
                    before = before[1:]
                    continue
                self._point(algorithm, before)
                return chosen
        raise BadInput(f"{algorithm}: nothing was served before the version of now, so nothing to go back to")

    def _whole(self, algorithm: str, version: str) -> Served:
        if version == SHIPPED:
            return self.shipped(algorithm)
        weights = self._folder(algorithm, version) / "weights.safetensors"
        if not weights.is_file():
            raise BadInput(f"no version {version!r} of {algorithm!r} below {self.models_dir}")
        if version_of(algorithm, weights) != version:
            raise BadInput(
                f"{weights} is not what its name says: it was changed or torn; add the version again"
            )
        return Served(version, weights)

    def shipped(self, algorithm: str) -> Served:
        """The weights that came with this release. Raises SetupFault where none did."""
        weights = _SHIPPED / algorithm / "weights" / "weights.safetensors"
        if not weights.is_file():
            raise SetupFault(f"no weights for {algorithm!r}: train some with `maskloop train {algorithm}`")
        return Served(version_of(algorithm, weights), weights)

    def _pointer(self, algorithm: str) -> list[str]:
        """The served version and those before it; never empty."""
        try:
            lines = self._pointer_path(algorithm).read_text().split()
        except FileNotFoundError:
            lines = []
        return lines or [SHIPPED]

    def _point(self, algorithm: str, versions: list[str]) -> None:
        _write(self._pointer_path(algorithm), "".join(f"{v}\n" for v in versions[:_REMEMBERED]).encode())

    def _pointer_path(self, algorithm: str) -> Path:
        return self.models_dir / algorithm / "served"

    @contextmanager
    def _alone(self, algorithm: str) -> Iterator[None]:
        """One process at a time changes an algorithm's versions; the kernel lets go when it dies."""
        folder = self.models_dir / algorithm
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _folder(self, algorithm: str, version: str) -> Path:
        if not _VERSION.fullmatch(version):
            raise BadInput(f"version {version!r} is not a version name such as video_object-1a2b3c4d")
        return self.models_dir / algorithm / version


def version_of(algorithm: str, weights: Path) -> str:
    """``<algorithm>-<first 8 hex digits of the file's sha256>``."""
    stat = weights.stat()
    return f"{algorithm}-{_digest(str(weights), stat.st_mtime_ns, stat.st_size)[:8]}"


@lru_cache(maxsize=32)
def _digest(path: str, mtime_ns: int, size: int) -> str:  # the key changes when the file does
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _card(path: Path) -> dict[str, Any]:
    """What is known of a version; a card that cannot be read tells nothing, and stops nobody."""
    try:
        card = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}


def _write(path: Path, data: bytes) -> None:
    """The old file or the whole new one, whatever dies in between."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    _flush(part)
    part.replace(path)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
