"""A request that leaves our origins is seen, whatever it asks for."""

from __future__ import annotations

import pytest

from pipelines.browser import chromium
from tests.http_script import reply, scripted

pytestmark = pytest.mark.browser

PAGE = b"<img src='/own.png'>"


def test_requests_to_other_origins_are_leaks(chromium_there: None) -> None:
    with (
        scripted(lambda asked, handler: reply(handler, 200, PAGE, {"Content-Type": "text/html"})) as ours,
        scripted(lambda asked, handler: reply(handler, 200, b"")) as elsewhere,
        chromium.open_page() as page,
    ):
        watch = chromium.OriginWatch(page, [ours.url])
        page.goto(ours.url)
        page.evaluate("async () => { await fetch('data:text/plain,hello'); }")
        assert watch.seen >= 2 and watch.leaks == []
        page.evaluate("(url) => fetch(url + '/told', {mode: 'no-cors'})", elsewhere.url)
        page.evaluate("(url) => { new WebSocket(url.replace('http', 'ws') + '/socket'); }", elsewhere.url)
        page.wait_for_function("() => true")
        assert {leak.rsplit("/", 1)[1] for leak in watch.leaks} == {"told", "socket"}
