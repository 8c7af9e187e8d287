"""Model versions on disk and the pointer to the served one. Knows files and names, no tensors.

``models_dir/<algorithm>/<version>/weights.safetensors`` beside its card; ``models_dir/<algorithm>/served`` is
a text file with the served version's name, replaced atomically. Without it the shipped weights are served.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from backends.core.errors import BadInput, SetupFault

_VERSION = re.compile(r"[a-z][a-z0-9_]*-[0-9a-f]{8}")
_SHIPPED = Path(__file__).parent


@dataclass(frozen=True)
class Served:
    """A model version and where its weights are."""

    version: str
    weights: Path


class Registry:
    """Versions below one folder."""

    def __init__(self, models_dir: Path):
        self.models_dir = models_dir

    def served(self, algorithm: str) -> Served:
        """The version to answer with. Raises SetupFault when neither a promoted nor a shipped one exists."""
        pointer = self.models_dir / algorithm / "served"
        if pointer.is_file():
            version = pointer.read_text().strip()
            weights = self._folder(algorithm, version) / "weights.safetensors"
            if weights.is_file():
                return Served(version, weights)
            raise SetupFault(f"{pointer} names {version!r} without {weights}; promote another version")
        weights = _SHIPPED / algorithm / "weights" / "weights.safetensors"
        if not weights.is_file():
            raise SetupFault(f"no weights for {algorithm!r}: train some with `maskloop train {algorithm}`")
        return Served(version_of(algorithm, weights), weights)

    def add(self, algorithm: str, weights: Path) -> Served:
        """Copy ``weights`` in under their content's name; the same file twice is one version."""
        version = version_of(algorithm, weights)
        folder = self._folder(algorithm, version)
        if not (folder / "weights.safetensors").is_file():
            part = folder.with_name(folder.name + ".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            shutil.copyfile(weights, part / "weights.safetensors")
            part.replace(folder)
        return Served(version, folder / "weights.safetensors")

    def promote(self, algorithm: str, version: str) -> None:
        """Serve ``version`` from the next request on."""
        weights = self._folder(algorithm, version) / "weights.safetensors"
        if not weights.is_file():
            raise BadInput(f"no version {version!r} of {algorithm!r} below {self.models_dir}")
        pointer = self.models_dir / algorithm / "served"
        part = pointer.with_name("served.part")
        with part.open("w") as file:
            file.write(version + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(pointer)

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
