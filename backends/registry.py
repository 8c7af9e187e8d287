"""Model versions on disk, and which of them answers for which project. Knows files and names, no tensors.

A version is a folder ``models_dir/<algorithm>/<version>`` of ``weights.safetensors`` and ``card.json``;
nothing here deletes one. Beside them the pointer ``served-12`` says what project 12 is answered by, and
``served`` what every project without one is; where that is missing too, the shipped weights answer.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput, SetupFault
from backends.pointers import ALL, Pointer, flush, pointer, projects, replace_file

SHIPPED = "shipped"
"""Stands for the weights that came with this release, in the pointer and where a version is named."""

_VERSION = re.compile(r"[a-z][a-z0-9_]*-[0-9a-f]{8}")
_SHIPPED = Path(__file__).parent


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
    served_to: tuple[int, ...]
    """Projects that it answers for by their own pointer, ascending; 0: all that have none."""
    is_shipped: bool
    added_at: float
    card: Mapping[str, Any] = field(default_factory=dict)
    """Where it came from and how it scored; empty when nobody said."""

    @property
    def is_served(self) -> bool:
        """It answers for somebody."""
        return bool(self.served_to)


class Registry:
    """Versions below one folder."""

    def __init__(self, models_dir: Path):
        self.models_dir = models_dir

    def served(self, algorithm: str, project: int = ALL) -> Served:
        """The version that answers for a project: by its own pointer, else by the one for all.

        Raises SetupFault when neither a promoted nor a shipped one exists, BadInput for no project's number.
        """
        named: list[str] = []
        for asked in (self._pointer(algorithm, project), self._pointer(algorithm)):
            if named := asked.read():
                break
        version = named[0] if named else SHIPPED
        if version == SHIPPED:
            return self.shipped(algorithm)
        weights = self._folder(algorithm, version) / "weights.safetensors"
        if weights.is_file():
            return Served(version, weights)
        raise SetupFault(f"{asked.path} names {version!r} without {weights}; promote another version")

    def pointers(self, algorithm: str) -> dict[int, str]:
        """Project -> the version that its own pointer names, ascending; first 0, for all without one.

        0 is left out where no version was promoted for all and none is shipped.
        """
        named = {}
        for project in (ALL, *projects(self.models_dir / algorithm)):
            version = next(iter(self._pointer(algorithm, project).read()), SHIPPED if project == ALL else "")
            if version == SHIPPED:
                try:
                    version = self.shipped(algorithm).version
                except SetupFault:
                    continue
            if version:  # a pointer can go away in between
                named[project] = version
        return named

    def answering(self, algorithm: str) -> set[str]:
        """The versions that work is still done with which asked for them: what is served to anybody, and what
        was before it. A version that was taken back by :meth:`roll_back` is none of them.
        """
        named = set(self.pointers(algorithm).values())
        for project in (ALL, *projects(self.models_dir / algorithm)):
            named.update(self._pointer(algorithm, project).read())
        if SHIPPED in named:
            named.remove(SHIPPED)
            with suppress(SetupFault):
                named.add(self.shipped(algorithm).version)
        return named

    def versions(self, algorithm: str) -> list[Version]:
        """All versions there are, newest first, the shipped one last. Whole ones only."""
        served_to: dict[str, tuple[int, ...]] = {}
        for project, version in self.pointers(algorithm).items():
            served_to[version] = (*served_to.get(version, ()), project)
        folder = self.models_dir / algorithm
        names = {p.name for p in folder.iterdir() if _VERSION.fullmatch(p.name)} if folder.is_dir() else set()
        last = []
        with suppress(SetupFault):
            shipped = self.shipped(algorithm)
            names.discard(shipped.version)  # a copy of what is shipped
            to, added_at = served_to.get(shipped.version, ()), shipped.weights.stat().st_mtime
            last = [Version(shipped.version, shipped.weights, to, True, added_at)]
        found = []
        for name in names:
            weights = folder / name / "weights.safetensors"
            if weights.is_file():
                card, to = _card(folder / name / "card.json"), served_to.get(name, ())
                found.append(Version(name, weights, to, False, weights.stat().st_mtime, card))
        return [*sorted(found, key=lambda version: (-version.added_at, version.name)), *last]

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
                    replace_file(part / "card.json", json.dumps(card, indent=1, allow_nan=False).encode())
                shutil.copyfile(weights, part / "weights.safetensors")
                flush(part / "weights.safetensors")
                part.replace(folder)
        return Served(version, folder / "weights.safetensors")

    def promote(self, algorithm: str, version: str, project: int = ALL) -> Served:
        """Serve ``version`` (or the word ``shipped``) from the next request on; returns what is served.

        With a ``project`` only there, and there from now on whatever becomes of the others. Raises BadInput
        for a version that is not there or whose file is not what its name says, SetupFault for ``shipped``
        where nothing was shipped. Whatever dies in between, the old or the new one is served.
        """
        with self._alone(algorithm):
            chosen = self.find(algorithm, version)
            asked = self._pointer(algorithm, project)
            before = asked.read() or ([SHIPPED] if project == ALL else [])
            is_ours = chosen.weights.is_relative_to(self.models_dir)
            name = (
                chosen.version if is_ours else SHIPPED
            )  # by its name it would be gone with the next release
            if before[:1] != [name]:
                asked.write([name, *before])
        return chosen

    def roll_back(self, algorithm: str, project: int = ALL) -> Served:
        """Serve again what was served before the last promotion; returns it.

        With a ``project`` only there; behind its first promotion its pointer goes away, and it is answered
        as all are. Versions that are gone since are passed over. Raises BadInput when nothing was served
        before, SetupFault when nothing would be served after.
        """
        with self._alone(algorithm):
            asked = self._pointer(algorithm, project)
            named = asked.read()
            for number, version in enumerate(named[1:], start=1):
                with suppress(BadInput, SetupFault):
                    chosen = self.find(algorithm, version)
                    asked.write(named[number:])
                    return chosen
            if project != ALL and named:
                chosen = self.served(algorithm)
                asked.write([])
                return chosen
        if project != ALL:
            raise BadInput(
                f"{algorithm}: project {project} has no version of its own to go back from; it gets what "
                "every project gets"
            )
        raise BadInput(f"{algorithm}: nothing was served before the version of now, so nothing to go back to")

    def find(self, algorithm: str, version: str) -> Served:
        """A version by its name, or by the word ``shipped``; whole, whether it is served or not.

        Raises BadInput for one that is not there or is not what its name says, SetupFault as ``shipped``.
        """
        if version == SHIPPED:
            return self.shipped(algorithm)
        weights = self._folder(algorithm, version) / "weights.safetensors"
        if not weights.is_file():
            with suppress(SetupFault):
                if (shipped := self.shipped(algorithm)).version == version:
                    return shipped
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

    def _pointer(self, algorithm: str, project: int = ALL) -> Pointer:
        return pointer(self.models_dir / algorithm, project)

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
