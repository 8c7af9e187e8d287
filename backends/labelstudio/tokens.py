"""The two kinds of token Label Studio knows, told apart by their shape.

A legacy token (40 hex digits) is sent as it is. A personal access token is a JWT that is exchanged for access
tokens of five minutes; it travels to the refresh address only.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from typing import Any

from backends.core.errors import TokenRefused

_REFRESH_EARLY_S = 30.0
_ACCESS_TTL_S = 300.0  # what 1.23.2 grants; used when the access token does not say


class Token:
    """A legacy token as it is, or a personal access token (JWT) with the access token it buys."""

    def __init__(self, text: str, clock: Callable[[], float]) -> None:
        self._text = text
        self._clock = clock
        self._lock = threading.Lock()
        self._access = ""
        self._good_until = 0.0
        claims = _claims(text)
        self._is_personal = claims is not None
        if claims is not None and claims.get("token_type") == "access":
            raise TokenRefused(
                "this is an access token, which lives five minutes; give the personal access token "
                "(Account & Settings) or the legacy token"
            )

    def __repr__(self) -> str:
        return "Token(hidden)"

    def header(self, refresh: Callable[[str], str]) -> dict[str, str]:
        """The Authorization header; ``refresh`` buys an access token for a personal one."""
        if not self._text.isascii() or not self._text.isprintable() or " " in self._text or not self._text:
            raise TokenRefused("no usable Label Studio token: set MASKLOOP_LABEL_STUDIO_TOKEN")
        if not self._is_personal:
            return {"Authorization": f"Token {self._text}"}
        with self._lock:
            if self._clock() > self._good_until - _REFRESH_EARLY_S:
                self._access = refresh(self._text)
                claims = _claims(self._access) or {}
                lives_s = float(claims.get("exp", 0)) - float(claims.get("iat", 0))
                # by our own clock: the two machines' clocks need not agree
                self._good_until = self._clock() + (lives_s if lives_s > 0 else _ACCESS_TTL_S)
            return {"Authorization": f"Bearer {self._access}"}

    def forget(self) -> bool:
        """Drop the access token; False when there is none to renew, so that asking again is no use."""
        with self._lock:
            self._good_until = 0.0
            return self._is_personal


def _claims(token: str) -> dict[str, Any] | None:
    """The claims of a JWT, unchecked (Label Studio checks them); None when the text is not a JWT."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    return claims if isinstance(claims, dict) else None
