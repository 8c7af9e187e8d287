"""Fetch one file over HTTP without being led astray.

Task data is text that anyone who may import tasks can write, so a frame's address may point at the cloud's
metadata service, at a neighbour's admin port, or at a server that never stops sending. Hence: http and https
only, no user in the address, the name is resolved once and every address it has must be public, the
connection goes to the address that was checked, every redirect is a new start under the same rules, and bytes
and seconds are limited for the transfer as a whole. Trusted origins (Label Studio itself) may be private, and
only they are sent headers.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urljoin, urlsplit

from backends.core.errors import BadMedia, Unavailable

_CHUNK = 1 << 16
_MOVED = (301, 302, 303, 307, 308)

Origin = tuple[str, str, int]
"""(scheme, host, port): what a token is bound to."""


@dataclass(frozen=True)
class FetchLimits:
    """How much a transfer may take, and whom it may be told a secret."""

    max_bytes: int = 100_000_000
    timeout_s: float = 60.0
    """For the whole transfer, redirects included."""
    max_redirects: int = 3
    trusted: Mapping[Origin, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """Origins that may have a private address, with the headers meant for them alone."""


def origin_of(url: str) -> Origin:
    """Scheme, host and port of an address. Raises BadMedia when it is no plain http(s) address."""
    return _checked(url)[1]


def safe_fetch(url: str, target: Path, limits: FetchLimits) -> None:
    """Write what ``url`` holds to ``target``, whole or not at all.

    Of a server that does not say how much it sends, a cut goes unseen: look into the file before using it.

    Raises BadMedia when the address is refused or the answer is unusable, Unavailable when the server does
    not answer properly now. Messages leave out the query, which may hold a signature.
    """
    deadline = time.monotonic() + limits.timeout_s
    here = url
    for _ in range(limits.max_redirects + 1):
        parts, origin = _checked(here)
        moved = _transfer(parts, origin, target, limits, deadline)
        if moved is None:
            return
        here = urljoin(here, moved)
    raise BadMedia(f"{_shown(url)} redirects more than {limits.max_redirects} times")


def _checked(url: str) -> tuple[SplitResult, Origin]:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError as error:
        raise BadMedia(f"{url.split('?')[0]!r} is no address: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadMedia(f"{url.split('?')[0]!r} is no http or https address")
    if parts.username is not None or parts.password is not None or any(c <= " " for c in url):
        raise BadMedia(f"{parts.scheme}://{parts.hostname}: an address with a user or with blanks is refused")
    return parts, (parts.scheme, parts.hostname.lower(), port)


def _transfer(
    parts: SplitResult, origin: Origin, target: Path, limits: FetchLimits, deadline: float
) -> str | None:
    """One request; None when the file is there, else the address it moved to."""
    shown = _shown(parts.geturl())
    address = _address(origin, must_be_public=origin not in limits.trusted)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Accept-Encoding": "identity", "User-Agent": "maskloop", **limits.trusted.get(origin, {})}
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise Unavailable(f"{shown} took longer than {limits.timeout_s:g} s")
    is_tls = origin[0] == "https"
    connection = (http.client.HTTPSConnection if is_tls else http.client.HTTPConnection)(origin[1], origin[2])
    sockets: list[socket.socket] = []
    # every read has a limit of its own, which a drip of single bytes never meets; the alarm is for the whole
    alarm = threading.Timer(left_s, _hang_up, [sockets])
    alarm.daemon = True
    alarm.start()
    try:
        sockets.append(socket.create_connection((address, origin[2]), timeout=min(10.0, left_s)))
        if is_tls:
            secure = ssl.create_default_context().wrap_socket(
                sockets[0], server_hostname=origin[1], do_handshake_on_connect=False
            )
            sockets.append(secure)
            secure.do_handshake()
        connection.sock = sockets[-1]
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        if answer.status in _MOVED and (moved := answer.getheader("Location")):
            return moved
        _save(answer, target, limits.max_bytes, shown, deadline)
        return None
    except (OSError, http.client.HTTPException) as error:
        if time.monotonic() >= deadline:
            raise Unavailable(f"{shown} took longer than {limits.timeout_s:g} s") from error
        raise Unavailable(f"{shown} cannot be fetched: {error or type(error).__name__}") from error
    finally:
        alarm.cancel()
        connection.close()
        for opened in sockets:
            opened.close()


def _address(origin: Origin, must_be_public: bool) -> str:
    """Resolve once; all records must be public, or none is used."""
    host, port = origin[1], origin[2]
    try:
        records = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"{host} has no address: {error}") from error
    addresses = [str(record[4][0]) for record in records]
    for text in addresses if must_be_public else ():
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(text.split("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if not address.is_global or address.is_multicast:
            raise BadMedia(
                f"{host} leads into a private network ({address}); frames are fetched from public addresses "
                "and from Label Studio only"
            )
    return addresses[0]


def _save(
    answer: http.client.HTTPResponse, target: Path, max_bytes: int, shown: str, deadline: float
) -> None:
    if answer.status != 200:
        kind = BadMedia if 400 <= answer.status < 500 and answer.status != 429 else Unavailable
        raise kind(f"{shown} answers {answer.status} {answer.reason}")
    # None: not said (Label Studio's local files), or in chunks, whose last one says that it is the last
    promised = answer.length
    if promised is not None and promised > max_bytes:
        raise BadMedia(f"{shown} has {promised} bytes; at most {max_bytes} are fetched")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("wb") as file:
            size = 0
            while chunk := answer.read(_CHUNK):
                size += len(chunk)
                if size > max_bytes:
                    raise BadMedia(f"{shown} sends more than {max_bytes} bytes")
                file.write(chunk)
            if time.monotonic() >= deadline or (promised is not None and size != promised):
                raise http.client.HTTPException(f"only {size} of {promised or 'unsaid'} bytes came")
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _hang_up(sockets: list[socket.socket]) -> None:
    for opened in sockets:
        with contextlib.suppress(OSError):  # finished in the same moment
            opened.shutdown(socket.SHUT_RDWR)


def _shown(url: str) -> str:
    return url.split("?")[0].split("#")[0]
