"""A headless Chromium with one page, and a watch over where its requests go.

Playwright is a development dependency: it is imported when a browser is started, not before.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from backends.core.errors import SetupFault

if TYPE_CHECKING:
    from playwright.sync_api import Page, Playwright

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = (
    "--no-sandbox",  # root and containers have none; only our own pages are opened
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_VIEWPORT = (1500, 950)
_LOCAL_SCHEMES = ("data", "blob", "about")
_INSTALL = (
    "install Chromium, on Debian or Ubuntu as root: apt-get install chromium; "
    "or for this environment alone: .venv/bin/playwright install chromium"
)


@contextmanager
def open_page(size_wh: tuple[int, int] = _VIEWPORT) -> Iterator[Page]:
    """A page in a browser of its own, ended with the block. Raises SetupFault where something is missing."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise SetupFault("Playwright is not installed: pip install --group dev") from error
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(_program(playwright)), args=list(_ARGUMENTS))
        try:
            yield browser.new_page(viewport={"width": size_wh[0], "height": size_wh[1]})
        finally:
            browser.close()


def missing() -> str:
    """Why no browser can be started, with the remedy; empty when one can."""
    try:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            _program(playwright)
    except (ImportError, SetupFault) as error:
        return str(error)
    return ""


def _program(playwright: Playwright) -> Path:
    for name in _PROGRAMS:
        if found := shutil.which(name):
            return Path(found)
    own = Path(playwright.chromium.executable_path)
    if own.is_file():
        return own
    raise SetupFault(f"no Chromium was found; {_INSTALL}")


class OriginWatch:
    """Collects requests of a page that leave the given origins."""

    def __init__(self, page: Page, origins: Collection[str]) -> None:
        self._origins = {_origin(url) for url in origins}
        self.seen = 0
        self.leaks: list[str] = []
        page.on("request", lambda request: self._note(request.url))
        page.on("websocket", lambda socket: self._note(socket.url.replace("ws", "http", 1)))

    def _note(self, url: str) -> None:
        if urlsplit(url).scheme in _LOCAL_SCHEMES:
            return
        self.seen += 1
        if _origin(url) not in self._origins:
            self.leaks.append(url)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
