"""How requests reach Label Studio: origin, token, patience, and errors in words.

Own code over ``requests`` rather than the SDK's client (2.1.2), which retries every method twice on 408,
409, 429 and 5xx (a POST repeated after a lost answer makes a second prediction), follows redirects, has no
call for drafts, and reports failures as a dump of headers and body. The flow test reads with the SDK what was
written here.

Rules kept here: the token goes to the configured origin only, never along a redirect; only GET is repeated;
nothing of the token appears in ``repr``, messages or logs; proxies and ``.netrc`` of the environment are not
consulted (``.netrc`` would replace the token).
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from backends.core.errors import BadInput, LabelStudioDown, SetupFault, TokenRefused
from backends.labelstudio.tokens import Token

_RETRY_STATUS = (429, 500, 502, 503, 504)
_LONGEST_PAUSE_S = 5.0


class Connection:
    """One Label Studio, one token. Safe to share between threads."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout_s: float = 20.0,
        get_attempts: int = 4,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = _origin(url)
        self._timeout_s = timeout_s
        self._get_attempts = get_attempts
        self._sleep = sleep
        self._local = threading.local()
        self._token = Token(token.strip(), clock)

    def __repr__(self) -> str:
        return f"Connection({self.url!r})"

    def authorization(self) -> dict[str, str]:
        """The header that proves who asks; for this connection's origin and no other."""
        return self._token.header(self._refresh)

    def get(self, path: str, params: Mapping[str, Any] | None = None, timeout_s: float | None = None) -> Any:
        """GET, repeated with growing pauses on 429, 5xx and lost connections."""
        pause = 0.25
        for attempt in range(1, self._get_attempts + 1):
            try:
                return self.once("GET", path, params=params, timeout_s=timeout_s)
            except LabelStudioDown as error:
                if attempt == self._get_attempts or isinstance(error, _Moved):
                    raise
                asked_for = error.retry_after_s if isinstance(error, _Busy) else 0.0
                self._sleep(min(max(pause, asked_for), _LONGEST_PAUSE_S))
                pause *= 2
        raise AssertionError("unreachable")

    def post(self, path: str, body: object, params: Mapping[str, Any] | None = None) -> Any:
        """POST, sent once: after an error the caller finds out whether it took effect."""
        return self.once("POST", path, params=params, body=body)

    def patch(self, path: str, body: object) -> Any:
        """PATCH, sent once."""
        return self.once("PATCH", path, body=body)

    def delete(self, path: str) -> None:
        """DELETE, sent once; what is gone already counts as deleted."""
        try:
            self.once("DELETE", path)
        except NotThere:
            return

    def once(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: object = None,
        timeout_s: float | None = None,
        with_token: bool = True,
    ) -> Any:
        """One request, one answer: parsed JSON, text when it is none, None when empty.

        Raises LabelStudioDown (no answer, 429, 5xx), TokenRefused (401, 403), NotThere (404) or BadInput
        (other 4xx), each with Label Studio's own words.
        """
        token = self._token.header(self._refresh) if with_token else {}
        answer = self._send(method, path, params, body, timeout_s, token)
        if answer.status_code == 401 and token and self._token.forget():  # it ran out sooner than it said
            answer = self._send(method, path, params, body, timeout_s, self._token.header(self._refresh))
        _raise_for(answer, method, path, self.url)
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            return answer.text

    def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        body: object,
        timeout_s: float | None,
        token: Mapping[str, str],
    ) -> requests.Response:
        if not path.startswith("/") or path.startswith("//"):
            raise BadInput(f"{path!r} is no path below Label Studio's address")
        headers = {"Accept": "application/json", "Content-Type": "application/json", **token}
        limit = timeout_s or self._timeout_s
        try:
            return self._session().request(
                method,
                self.url + path,
                params=params,
                data=None if body is None else _dump(body),
                headers=headers,
                timeout=(min(limit, 5.0), limit),
                allow_redirects=False,
            )
        except requests.Timeout as error:
            raise LabelStudioDown(
                f"Label Studio at {self.url} gave no answer to {method} {path} in {limit:g} s"
            ) from error
        except requests.RequestException as error:
            raise LabelStudioDown(
                f"Label Studio at {self.url} cannot be reached ({_cause(error)}); is it running?"
            ) from None  # the chained text of requests is long and says no more

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
        session: requests.Session = self._local.session
        return session

    def _refresh(self, personal_token: str) -> str:
        """Exchange the personal access token for an access token, which lives five minutes."""
        try:
            answer = self.once(
                "POST", "/api/token/refresh/", body={"refresh": personal_token}, with_token=False
            )
        except (TokenRefused, BadInput) as error:
            raise TokenRefused(
                f"Label Studio at {self.url} refuses the personal access token; "
                "make a new one under Account & Settings, Personal Access Token"
            ) from error
        if not isinstance(answer, dict) or not isinstance(answer.get("access"), str):
            raise LabelStudioDown(f"Label Studio at {self.url} answered the token refresh without a token")
        return str(answer["access"])


class NotThere(BadInput):
    """Label Studio knows no such thing (404)."""


class _Moved(LabelStudioDown):
    """A redirect; asking again is no use."""


class _Busy(LabelStudioDown):
    """429 or 5xx, with the pause that was asked for."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def _origin(url: str) -> str:
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SetupFault(f"Label Studio's address {url!r} wants the form http://host:port")
    if parts.username or parts.password:
        raise SetupFault(
            "Label Studio's address holds a user or password; set MASKLOOP_LABEL_STUDIO_TOKEN instead"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _dump(body: object) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise BadInput(f"cannot be sent to Label Studio as JSON: {error}") from error


def _raise_for(answer: requests.Response, method: str, path: str, url: str) -> None:
    status = answer.status_code
    if status < 300:
        return
    said = _words(answer)
    asked = f"{method} {path}"
    if status < 400:
        target = answer.headers.get("Location", "elsewhere").split("?")[0]
        raise _Moved(
            f"Label Studio at {url} redirects {asked} to {target}; "
            "set MASKLOOP_LABEL_STUDIO_URL to its real address"
        )
    if status in (401, 403):
        raise TokenRefused(f"Label Studio at {url} refuses the token ({status}): {said}{_remedy(said)}")
    if status == 404:
        raise NotThere(f"Label Studio at {url} has nothing at {path}: {said}")
    if status in _RETRY_STATUS or status > 500:
        raise _Busy(f"Label Studio at {url} answers {status} to {asked}: {said}", _retry_after(answer))
    raise BadInput(f"Label Studio at {url} refuses {asked} ({status}): {said}")


def _remedy(said: str) -> str:
    if "legacy token" in said.lower():
        return (
            "; allow legacy tokens under Organization, Access Token Settings, or use a personal access token"
        )
    return ""


def _words(answer: requests.Response) -> str:
    """Label Studio's explanation, in at most 300 characters; HTML pages are not repeated."""
    try:
        body = answer.json()
    except ValueError:
        return answer.reason or "no explanation"
    if not isinstance(body, dict):
        return str(body)[:300]
    details = body.get("validation_errors") or body.get("detail") or body
    if isinstance(details, dict):
        details = "; ".join(f"{key}: {_joined(value)}" for key, value in details.items())
    return re.sub(r"<[^>]*>", "", str(details))[:300]


def _joined(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _retry_after(answer: requests.Response) -> float:
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _cause(error: requests.RequestException) -> str:
    """The operating system's words ("Connection refused") out of the layers around them."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return type(error).__name__
