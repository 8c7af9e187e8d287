"""Frames' references to files: kept inside the media folder, fetched under guard, nothing half-written."""

from __future__ import annotations

import io
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backends.core.errors import BadInput, BadMedia, Unavailable
from backends.labelstudio.fetch import FetchLimits, origin_of, safe_fetch
from backends.labelstudio.media import FrameLocator
from tests.http_script import Asked, reply, scripted

TOKEN = "canary0123456789abcdef0123456789abcdef01"


def picture(kind: str = "PNG", size: tuple[int, int] = (6, 4)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (9, 99, 199)).save(out, kind)
    return out.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    clip = tmp_path / "media" / "clip 1"
    clip.mkdir(parents=True)
    (clip / "00000.png").write_bytes(picture())
    (clip / "ä.png").write_bytes(picture())
    (tmp_path / "secret.png").write_bytes(picture())
    return tmp_path / "media"


def locator(root: Path, tmp_path: Path, url: str = "http://ls.test:8080", **options: int) -> FrameLocator:
    return FrameLocator(root, url, TOKEN, tmp_path / "cache", **options)


@pytest.mark.parametrize(
    "reference",
    [
        "/data/local-files/?d=clip%201/00000.png",
        "/data/local-files/?d=clip 1/00000.png",
        "/data/local-files/?d=clip+1/00000.png",
        "http://ls.test:8080/data/local-files/?d=clip%201/00000.png",
    ],
)
def test_local_files_are_read_where_they_lie(root: Path, tmp_path: Path, reference: str) -> None:
    assert locator(root, tmp_path).path(reference) == (root / "clip 1" / "00000.png").resolve()
    assert locator(root, tmp_path).path("/data/local-files/?d=clip%201/%C3%A4.png").is_file()


@pytest.mark.parametrize(
    "d",
    [
        "../secret.png",
        "clip 1/../../secret.png",
        "..%2fsecret.png",
        "/etc/passwd",
        "clip 1/link.png",
        "away/secret.png",
        "a%00b",
        "x" * 5000,
        "",
        ".",
        "clip 1",
        "clip 1/00001.png",
        "loop",
    ],
)
def test_nothing_outside_the_media_folder_is_read(root: Path, tmp_path: Path, d: str) -> None:
    (root / "clip 1" / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "away").symlink_to(tmp_path)
    (root / "loop").symlink_to(root / "loop")
    with pytest.raises(BadMedia):
        locator(root, tmp_path).path(f"/data/local-files/?d={d}")


def test_random_paths_stay_inside(root: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pieces = ["..", ".", "clip 1", "00000.png", "/", "//", "%2e%2e", "\\", "~", "secret.png", "%00", "..%2f"]
    found = 0
    for _ in range(3000):
        d = "/".join(rng.choice(pieces, rng.integers(1, 6)))
        try:
            path = locator(root, tmp_path).path(f"/data/local-files/?d={d}")
        except BadMedia:
            continue
        found += 1
        assert path.is_relative_to(root.resolve()), d
    assert found, "the pieces never made a good path, so the test shows nothing"


def test_a_clip_folder_that_vanished_is_named(root: Path, tmp_path: Path) -> None:
    references = ["/data/local-files/?d=clip%201/00000.png", "/data/local-files/?d=clip%202/00000.png"]
    with pytest.raises(BadMedia, match=r"frame 1 of 2: 'clip 2/00000\.png': the clip folder is gone"):
        locator(root, tmp_path).paths(references)


@pytest.mark.parametrize(
    "reference", ["s3://bucket/x.png", "file:///etc/passwd", "x.png", "//evil/x.png", ""]
)
def test_other_references_are_refused(root: Path, tmp_path: Path, reference: str) -> None:
    with pytest.raises(BadMedia, match="cannot be read"):
        locator(root, tmp_path).path(reference)


@pytest.mark.parametrize(("kind", "suffix"), [("PNG", ".png"), ("JPEG", ".jpg"), ("WEBP", ".webp")])
def test_uploads_are_fetched_once_with_the_token(root: Path, tmp_path: Path, kind: str, suffix: str) -> None:
    with scripted(lambda asked, handler: reply(handler, 200, picture(kind))) as server:
        files = locator(root, tmp_path, server.url)
        path = files.path("/data/upload/1/a.bin")
        assert path.suffix == suffix and path.read_bytes() == picture(kind)
        assert files.path("/data/upload/1/a.bin") == path
        assert [a.headers["Authorization"] for a in server.asked] == [f"Token {TOKEN}"]
        assert [p.name for p in (tmp_path / "cache").iterdir()] == [path.name], "leftovers"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>login</html>", "no whole JPEG, PNG or WebP"),
        (picture("BMP"), "no whole JPEG, PNG or WebP"),
        (picture(size=(90, 90))[:-30], "no whole JPEG, PNG or WebP"),
        (picture()[:20], "no whole JPEG, PNG or WebP"),
        (picture(size=(200, 200)), "200x200 pixels; at most 10000"),
    ],
)
def test_what_is_no_usable_picture_is_not_kept(root: Path, tmp_path: Path, body: bytes, says: str) -> None:
    with (
        scripted(lambda asked, handler: reply(handler, 200, body)) as server,
        pytest.raises(BadMedia, match=says),
    ):
        locator(root, tmp_path, server.url, max_pixels=10_000).path("/data/upload/1/a.png")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_cache_drops_what_was_not_used_for_long(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    for name, age_s in (("old.png", 90_000), ("older.png", 100_000), ("young.png", 10)):
        (cache / name).write_bytes(b"x" * 100)
        os.utime(cache / name, (time.time() - age_s,) * 2)
    with scripted(lambda asked, handler: reply(handler, 200, picture())) as server:
        locator(root, tmp_path, server.url, cache_bytes=200).path("/data/upload/1/a.png")
    assert {"old.png", "young.png"} <= {p.name for p in cache.iterdir()}
    assert not (cache / "older.png").exists()


PRIVATE = [
    "http://127.0.0.1/x",
    "http://localhost/x",
    "http://2130706433/x",
    "http://0x7f000001/x",
    "http://017700000001/x",
    "http://127.1/x",
    "http://[::1]/x",
    "http://[::ffff:127.0.0.1]/x",
    "http://0.0.0.0/x",
    "http://169.254.169.254/latest/meta-data",
    "http://10.0.0.1/x",
    "http://192.168.1.1/x",
    "http://100.64.0.1/x",
    "http://224.0.0.1/x",
]


@pytest.mark.parametrize("url", PRIVATE)
def test_private_addresses_are_refused_in_every_spelling(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadMedia, match="private network"):
        safe_fetch(url, tmp_path / "x", FetchLimits())


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/x",
        "gopher://example.org/x",
        "http:///x",
        "http://user:pw@example.org/x",
        "http://example.org:99999/x",
        "http://exa mple.org/x",
        "http://example.org/x\r\nHost: y",
        "http://[::1/x",
    ],
)
def test_odd_addresses_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadMedia) as caught:
        safe_fetch(url, tmp_path / "x", FetchLimits())
    assert "pw" not in str(caught.value)


def test_one_private_record_among_public_ones_is_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def resolve(host: str, port: int, **options: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in ("93.184.216.34", "10.0.0.7")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(BadMedia, match=r"private network \(10\.0\.0\.7\)"):
        safe_fetch("http://rebound.example/x", tmp_path / "x", FetchLimits())


def trusting(*urls: str, **options: float) -> FetchLimits:
    return FetchLimits(trusted={origin_of(u): {"Authorization": "Token canary"} for u in urls}, **options)  # type: ignore[arg-type]


def test_redirects_are_checked_again_and_carry_no_token(tmp_path: Path) -> None:
    def onward(target: str) -> object:
        return lambda asked, handler: reply(handler, 302, b"", {"Location": target})

    with scripted(lambda asked, handler: reply(handler, 200, b"inner")) as inner:
        for target in (f"{inner.url}/x", "http://169.254.169.254/", "file:///etc/passwd"):
            with scripted(onward(target)) as server, pytest.raises(BadMedia):  # type: ignore[arg-type]
                safe_fetch(f"{server.url}/a", tmp_path / "x", trusting(server.url))
        assert inner.asked == [], "a private address was reached over a redirect"

        def move_once(asked: Asked, handler: BaseHTTPRequestHandler) -> None:
            reply(handler, *((302, b"", {"Location": "/b"}) if asked.path == "/a" else (200, b"data")))  # type: ignore[arg-type]

        with scripted(move_once) as server:
            safe_fetch(f"{server.url}/a?sign=1", tmp_path / "x", trusting(server.url))
            assert (tmp_path / "x").read_bytes() == b"data"
        with scripted(onward("/a")) as server, pytest.raises(BadMedia, match="redirects more than 3"):  # type: ignore[arg-type]
            safe_fetch(f"{server.url}/a", tmp_path / "y", trusting(server.url))


def test_another_port_is_another_origin() -> None:
    assert origin_of("http://Host/x") == ("http", "host", 80)
    assert origin_of("https://host/x") == ("https", "host", 443)
    assert len({origin_of(u) for u in ("http://h", "https://h", "http://h:81", "http://g")}) == 4


def endless(asked: Asked, handler: BaseHTTPRequestHandler) -> None:
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")


def unmeasured_drip(asked: Asked, handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.05)


def short(asked: Asked, handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b"x" * 50)


def lying(asked: Asked, handler: BaseHTTPRequestHandler) -> None:
    reply(handler, 200, b"", {"Content-Length": "99999999999"})


def drip(asked: Asked, handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "200")
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.05)


def drip_headers(asked: Asked, handler: BaseHTTPRequestHandler) -> None:
    for _ in range(200):
        handler.wfile.write(b"H")
        handler.wfile.flush()
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (endless, BadMedia, "sends more than 1000000 bytes"),
        (lying, BadMedia, "99999999999 bytes; at most"),
        (unmeasured_drip, Unavailable, "took longer than 0.5 s"),
        (short, Unavailable, "50 of 100 bytes|IncompleteRead"),
        (drip, Unavailable, "took longer than 0.5 s"),
        (drip_headers, Unavailable, "took longer than 0.5 s"),
        (lambda a, h: reply(h, 404), BadMedia, "answers 404"),
        (lambda a, h: reply(h, 503), Unavailable, "answers 503"),
        (lambda a, h: reply(h, 429), Unavailable, "answers 429"),
    ],
)
def test_bad_servers_leave_nothing_behind(
    answer: object, error: type[Exception], says: str, tmp_path: Path
) -> None:
    with scripted(answer) as server:  # type: ignore[arg-type]
        start = time.monotonic()
        with pytest.raises(error, match=says) as caught:
            limits = trusting(server.url, max_bytes=1_000_000, timeout_s=0.5 if "drip" in str(answer) else 20)
            safe_fetch(f"{server.url}/a?signature=canary", tmp_path / "x", limits)
        assert time.monotonic() - start < 5
        assert "canary" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be fetched"):
        safe_fetch("http://127.0.0.1:9/x", tmp_path / "x", trusting("http://127.0.0.1:9"))


def test_two_fetch_the_same_frame_at_once(root: Path, tmp_path: Path) -> None:
    with scripted(lambda asked, handler: reply(handler, 200, picture())) as server:
        files = locator(root, tmp_path, server.url)
        found: list[Path | BadInput] = []
        threads = [
            threading.Thread(target=lambda: found.append(files.path("/data/upload/1/a.png")))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 8 and len(set(found)) == 1
