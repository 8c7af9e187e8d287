"""Immutable snapshots: a folder named by the digest of what is in it.

``manifest.json`` lists every file with its SHA-256 beside what the writer tells (who labelled, which
annotation, ...). The digest is that of the manifest, so one changed bit anywhere gives another name; the same
content gives the same name, whenever and wherever it is written. Nothing here knows what a snapshot is for.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

from backends.core.errors import BadInput
from pipelines.atomic import write_bytes
from pipelines.progress import Track, quiet

MANIFEST = "manifest.json"
FORMAT = 1
_DIGITS = 32  # of the SHA-256, in hex
_PART = ".part-"
_STALE_S = 6 * 3600.0  # a half-written folder of a run that was killed
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Snapshot:
    """A finished snapshot; ``manifest`` without the digest itself."""

    folder: Path
    digest: str
    manifest: Mapping[str, Any]


class SnapshotWriter:
    """Collects files in a hidden folder below ``home``; there is no snapshot before :meth:`finish`.

    To be used in a ``with`` block, which clears away whatever did not become a snapshot.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._part = home / f"{_PART}{secrets.token_hex(6)}"
        self._files: dict[str, str] = {}  # name -> SHA-256

    def __enter__(self) -> SnapshotWriter:
        self.home.mkdir(parents=True, exist_ok=True)
        _sweep(self.home)
        self._part.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._part, ignore_errors=True)

    def put(self, name: str, data: bytes) -> None:
        """Add a file; ``name`` is a path with forward slashes. Raises ValueError for a name used twice."""
        target = self._new(name)
        target.write_bytes(data)
        self._files[name] = hashlib.sha256(data).hexdigest()

    def put_json(self, name: str, value: object) -> None:
        """Add a JSON file whose bytes depend on the value only."""
        self.put(name, _canonical(value, indent=1))

    def copy(self, name: str, source: Path) -> None:
        """Add a copy of ``source``, byte for byte. Raises OSError when it cannot be read."""
        target = self._new(name)
        shutil.copyfile(source, target)
        self._files[name] = _sha256(target)

    def finish(self, about: Mapping[str, Any]) -> Snapshot:
        """Make the snapshot; ``about`` (JSON values) goes into the manifest.

        When it is there already, with the same content, that one is returned. Raises BadInput when the one
        that is there was edited.
        """
        manifest = {**about, "format": FORMAT, "files": dict(sorted(self._files.items()))}
        digest = _digest(manifest)
        target = self.home / digest
        if target.exists():
            return open_snapshot(target)
        for name in self._files:
            (self._part / name).chmod(0o444)  # a hint for people; the digest is what holds
        write_bytes(self._part / MANIFEST, _canonical({**manifest, "digest": digest}, indent=1))
        try:
            self._part.rename(target)
        except OSError:
            if not target.exists():
                raise
            return open_snapshot(target)  # another process was faster with the same content
        return Snapshot(target, digest, manifest)

    def _new(self, name: str) -> Path:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name or name in {"", ".", MANIFEST}:
            raise ValueError(f"{name!r} is no name for a file of a snapshot")
        if name in self._files:
            raise ValueError(f"{name!r} is in the snapshot already")
        target = self._part / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


def open_snapshot(folder: Path, *, progress: Track = quiet) -> Snapshot:
    """The snapshot in ``folder``, every file read and compared with the manifest.

    Raises BadInput, naming the file, for anything changed, missing or added since it was made, for a manifest
    that was edited, and for a folder that is no snapshot. Hidden files (``.DS_Store``) are passed over.
    """
    manifest, digest = _manifest(folder)
    files = manifest["files"]
    if added := sorted(set(_names(folder)) - set(files) - {MANIFEST}):
        raise _edited(folder, f"{added[0]} was added")
    for name in progress(files, total=len(files), label="checking the snapshot"):
        if not (folder / name).is_file():
            raise _edited(folder, f"{name} is missing")
        if _sha256(folder / name) != files[name]:
            raise _edited(folder, f"{name} was changed")
    return Snapshot(folder, digest, manifest)


def is_snapshot(folder: Path) -> bool:
    """Whether the folder was made by a SnapshotWriter; says nothing about its content."""
    return (folder / MANIFEST).is_file()


def _manifest(folder: Path) -> tuple[dict[str, Any], str]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: no snapshot's manifest ({error})") from error
    digest = manifest.pop("digest", None) if isinstance(manifest, dict) else None
    if not isinstance(digest, str) or not isinstance(manifest.get("files"), dict):
        raise BadInput(f"{path}: no snapshot's manifest (it lacks its digest or its files)")
    if manifest.get("format") != FORMAT:
        raise BadInput(f"{path}: format {manifest.get('format')!r}; this release reads {FORMAT}")
    if _digest(manifest) != digest:
        raise _edited(folder, f"{MANIFEST} was changed")
    if folder.resolve().name != digest:
        raise _edited(folder, f"its content has the name {digest}")
    return manifest, digest


def _edited(folder: Path, what: str) -> BadInput:
    return BadInput(
        f"{folder}: {what}. Snapshots are not edited: change the annotations and make a new one; "
        "this one can be removed"
    )


def _names(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if not path.is_dir() and not any(part.startswith(".") for part in inside.parts):
            yield inside.as_posix()


def _canonical(value: object, *, indent: int | None = None) -> bytes:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=indent)
    return (text + "\n").encode()


def _digest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(manifest)).hexdigest()[:_DIGITS]


def _sha256(path: Path) -> str:
    whole = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            whole.update(chunk)
    return whole.hexdigest()


def _sweep(home: Path) -> None:
    for path in home.glob(f"{_PART}*"):
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - _STALE_S:
                shutil.rmtree(path, ignore_errors=True)
