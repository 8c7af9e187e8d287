"""Where a frame lies: the references in a task's data -> files on this machine.

``/data/local-files/?d=…`` is read straight from the shared media folder, kept inside it; ``/data/upload/…``
and other files of Label Studio are fetched with the token; ``http(s)://…`` is fetched under the rules of
``fetch``.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from urllib.parse import parse_qs, urlsplit

from PIL import Image

from backends.core.errors import BadMedia
from backends.labelstudio.connection import Connection
from backends.labelstudio.fetch import FetchLimits, origin_of, safe_fetch

_LOCAL = "/data/local-files/"
_FORMATS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
_YOUNG_S = 3600.0


class FrameLocator:
    """Finds frames for the worker and the server. Safe to share between threads and processes."""

    def __init__(
        self,
        media_root: Path,
        label_studio_url: str,
        token: str,
        cache_dir: Path,
        *,
        max_pixels: int = 50_000_000,
        max_bytes: int = 100_000_000,
        cache_bytes: int = 4_000_000_000,
        timeout_s: float = 60.0,
    ) -> None:
        """``media_root`` is Label Studio's document root as this machine sees it; it may be absent here."""
        self._root = media_root
        self._connection = Connection(label_studio_url, token)
        self._cache = cache_dir
        self._max_pixels = max_pixels
        self._max_bytes = max_bytes
        self._cache_bytes = cache_bytes
        self._timeout_s = timeout_s

    def __repr__(self) -> str:
        return f"FrameLocator({str(self._root)!r}, {self._connection.url!r})"

    def paths(self, references: Sequence[str]) -> list[Path]:
        """All frames of a clip, in order; the message of a failure names the frame's number."""
        found = []
        for number, reference in enumerate(references):
            try:
                found.append(self.path(reference))
            except BadMedia as error:
                raise BadMedia(f"frame {number} of {len(references)}: {error}") from error
        return found

    def path(self, reference: str) -> Path:
        """The file of one frame. Raises BadMedia (refused, gone, no image) or Unavailable (not now)."""
        url = self._absolute(reference)
        parts = urlsplit(url)
        is_ours = origin_of(url) == origin_of(self._connection.url)
        if is_ours and parts.path.endswith(_LOCAL) and self._root.is_dir():
            return self._local(parse_qs(parts.query).get("d", [""])[0])
        return self._fetched(url)

    def _absolute(self, reference: str) -> str:
        if reference.startswith("/") and not reference.startswith("//"):
            return self._connection.url + reference.replace(" ", "%20")
        if reference.startswith(("http://", "https://")):
            return reference
        raise BadMedia(
            f"{reference.split('?')[0]!r} cannot be read; frames are /data/local-files/?d=…, uploads or "
            "http(s) addresses (for s3:// or gs:// let Label Studio hand out pre-signed addresses)"
        )

    def _local(self, relative: str) -> Path:
        root = self._root.resolve()
        try:
            path = (root / relative).resolve()
            inside = bool(relative) and path.is_relative_to(root)
            there = inside and path.is_file()
        except (OSError, ValueError, RuntimeError) as error:  # NUL bytes, endless links, over-long names
            raise BadMedia(f"{relative!r} is no file name: {error}") from error
        if not inside:
            raise BadMedia(f"{relative!r} lies outside the media folder and is not read")
        if not there:
            what = "file" if path.parent.is_dir() else "clip folder"
            raise BadMedia(
                f"{relative!r}: the {what} is gone from the media folder; put it back or ingest again"
            )
        return path

    def _fetched(self, url: str) -> Path:
        stem = hashlib.sha256(url.encode()).hexdigest()[:32]
        for suffix in _FORMATS.values():
            known = self._cache / f"{stem}{suffix}"
            with suppress(FileNotFoundError):
                os.utime(known)  # not touch(): that would make an empty file of one that was just dropped
                return known
        ours = origin_of(self._connection.url)
        headers = self._connection.authorization() if origin_of(url) == ours else {}
        limits = FetchLimits(max_bytes=self._max_bytes, timeout_s=self._timeout_s, trusted={ours: headers})
        self._make_room()
        raw = self._cache / f"{stem}.{secrets.token_hex(4)}.download"
        safe_fetch(url, raw, limits)
        try:
            path = self._cache / f"{stem}{self._suffix(raw, url)}"
            raw.replace(path)
        finally:
            raw.unlink(missing_ok=True)
        return path

    def _suffix(self, raw: Path, url: str) -> str:
        """Format and size by the header alone; then decode once, so that no cut file is kept for ever."""
        shown = url.split("?")[0]
        try:
            with Image.open(raw, formats=list(_FORMATS)) as image:
                (width, height), kind = image.size, str(image.format)
                if width * height > self._max_pixels:
                    raise BadMedia(
                        f"{shown} has {width}x{height} pixels; at most {self._max_pixels} are read"
                    )
                image.load()
        except BadMedia:
            raise
        except Exception as error:  # Pillow raises half a dozen unrelated classes on junk
            raise BadMedia(f"{shown} is no whole JPEG, PNG or WebP image") from error
        return _FORMATS[kind]

    def _make_room(self) -> None:
        """Drop the longest unused files while the cache is over its size, but none used in the last hour."""
        if not self._cache.is_dir():
            return
        files = list(_ages_and_sizes(self._cache))
        total = sum(size for _, size, _ in files)
        for used_at, size, file in sorted(files, key=lambda entry: entry[0]):
            if total <= self._cache_bytes or used_at > time.time() - _YOUNG_S:
                return
            file.unlink(missing_ok=True)
            total -= size


def _ages_and_sizes(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """(last use, bytes, path) of each file, without those that another thread has just renamed away."""
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            told = path.stat()
            if S_ISREG(told.st_mode):
                yield told.st_mtime, told.st_size, path
