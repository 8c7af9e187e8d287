"""ImageNet weights of a trunk, downloaded and checked before they get their name."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from tqdm import tqdm

from backends.core.errors import BadInput, SetupFault, Unavailable
from backends.trunks.catalogue import Published, entry

MAX_BYTES = 256 * 2**20
"""No published file is half as large; whatever sends more is something else."""
TIMEOUT_S = (10.0, 60.0)
"""Seconds to connect, and to wait for the next bytes."""
_CHUNK = 1 << 16
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def fetch_trunk(name: str, cache_dir: Path, *, published: Published | None = None) -> Path:
    """The weights of trunk ``name`` below ``cache_dir``, downloaded where they are not there yet.

    A file there is hashed again, and replaced when it is damaged. ``published`` takes another file than the
    catalogue's first. The check covers the eight digits that the file's name carries, as torchvision's own
    does: it finds damage, and is no signature. Raises BadInput for a trunk that is unknown or unpublished,
    for more than MAX_BYTES and for another hash; Unavailable without network; SetupFault when ``cache_dir``
    cannot be written.
    """
    known = entry(name).published
    if not (published or known):
        raise BadInput(f"no weights of {name} are published in a plain format; bring yours: --trunk FILE")
    file = published or known[0]
    path = cache_dir / file.name
    if path.is_file() and _sha256(path).startswith(file.sha256_begins):
        return path
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        handle, part_name = tempfile.mkstemp(dir=cache_dir, prefix=f".{file.name}.")
    except OSError as error:
        raise SetupFault(f"{cache_dir} cannot be written: {error}") from error
    part = Path(part_name)
    try:
        _download(file.url, handle)
        if not (found := _sha256(part)).startswith(file.sha256_begins):
            raise BadInput(
                f"{file.url}: its SHA-256 begins with {found[:8]}, not {file.sha256_begins}; nothing is kept"
            )
        part.chmod(0o644)
        part.replace(path)  # several processes may do so at once: each brings the same whole file
    finally:
        part.unlink(missing_ok=True)
    return path


def _download(url: str, handle: int) -> None:
    _refuse_plain_http(url)
    try:
        with os.fdopen(handle, "wb") as out, _opened(url) as answer:
            answer.raise_for_status()
            size = int(answer.headers.get("Content-Length", 0))
            bar = tqdm(total=size or None, desc=url.rpartition("/")[2], unit="B", unit_scale=True)
            with bar:
                for chunk in _capped(url, answer.iter_content(_CHUNK), size):
                    out.write(chunk)
                    bar.update(len(chunk))
    except requests.RequestException as error:
        raise Unavailable(
            f"{url} could not be downloaded ({type(error).__name__}: {error}); without a network bring the "
            "file and name it: --trunk FILE"
        ) from error


def _opened(url: str) -> requests.Response:
    def on_the_way(answer: requests.Response, *_: Any, **__: Any) -> None:
        if answer.is_redirect:
            _refuse_plain_http(urljoin(answer.url, answer.headers["Location"]))

    plain = {"Accept-Encoding": "identity"}
    return requests.get(url, stream=True, timeout=TIMEOUT_S, headers=plain, hooks={"response": on_the_way})


def _capped(url: str, chunks: Iterator[bytes], promised: int) -> Iterator[bytes]:
    got = 0
    for chunk in chunks:
        got += len(chunk)
        if max(got, promised) > MAX_BYTES:
            raise BadInput(f"{url} sends {max(got, promised)} bytes; no trunk has more than {MAX_BYTES}")
        yield chunk


def _refuse_plain_http(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise BadInput(f"{url} is not https; weights are downloaded over https only")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
