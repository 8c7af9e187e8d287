"""Who may ask: the shared secret for programs, a session cookie for people on the console.

Programs send the secret in ``X-MaskLoop-Secret`` or as the password of HTTP Basic (user ``maskloop``). The
console's cookie is signed with a key made from the secret, so a new secret ends every session. Only the
console, which trusts a cookie, needs the Host check against rebinding and the CSRF token.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping, MutableMapping
from typing import Protocol
from urllib.parse import urlsplit

USER = "maskloop"
HEADER = "X-MaskLoop-Secret"
COOKIE = "maskloop_console"
CSRF_HEADER = "X-CSRF-Token"

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Headers(Protocol):
    """Request headers, whatever the framework calls them."""

    def get(self, key: str, default: str) -> str: ...


def same(given: str, wanted: str) -> bool:
    """Compare without telling by the time taken where they differ; an empty secret never matches."""
    return bool(wanted) and hmac.compare_digest(
        given.encode("utf-8", "surrogatepass"), wanted.encode("utf-8", "surrogatepass")
    )


def program_allowed(headers: Headers, secret: str) -> bool:
    """Whether a request's headers hold the secret, in our own header or as HTTP Basic."""
    if same(headers.get(HEADER, ""), secret):
        return True
    user, password = _basic(headers.get("Authorization", ""))
    return same(user, USER) and same(password, secret)


def _basic(header: str) -> tuple[str, str]:
    scheme, _, payload = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        text = base64.b64decode(payload.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return "", ""
    user, _, password = text.partition(":")
    return user, password


def cookie_key(secret: str) -> str:
    """The key that signs console cookies: made from the secret, so that it needs no file of its own."""
    return hmac.new(secret.encode(), b"maskloop console cookie", hashlib.sha256).hexdigest()


def open_session(session: MutableMapping[str, object]) -> None:
    """Mark a session as logged in and give it a fresh CSRF token."""
    session.clear()
    session["in"] = True
    session["csrf"] = secrets.token_urlsafe(24)


def csrf_ok(session: Mapping[str, object], given: str) -> bool:
    """Whether ``given`` is the session's own CSRF token."""
    wanted = session.get("csrf")
    return isinstance(wanted, str) and same(given, wanted)


def host_allowed(host_header: str, bound: str, extra: str = "") -> bool:
    """Whether a Host header names this server: its bound address, the loopback names or one of ``extra``.

    ``extra`` is a comma-separated list of host names. Ports are ignored: a rebound name differs in the name.
    """
    try:
        name = urlsplit(f"//{host_header}").hostname or ""
    except ValueError:
        return False
    allowed = {"localhost", "127.0.0.1", "::1", bound.lower()} - {"0.0.0.0", "::", ""}
    allowed |= {item.strip().lower() for item in extra.split(",") if item.strip()}
    return name.lower() in allowed
