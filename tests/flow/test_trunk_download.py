"""Weights of a trunk from a server: whole and checked, or not at all."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from backends.core.errors import BadInput, SetupFault, Unavailable
from backends.trunks import download
from backends.trunks.catalogue import TRUNKS, Entry, Published, build, load_weights
from backends.trunks.download import fetch_trunk
from pipelines import cli
from tests.unit.trunks.classifiers import Classifier, trained


class Files(BaseHTTPRequestHandler):
    """Sends ``server.content``; path /cut/… promises it and sends half, /away/… sends elsewhere."""

    def do_GET(self):
        self.server.asked += 1
        if self.path.startswith("/away/"):
            self.send_response(302)
            self.send_header("Location", "http://plain.invalid/file.pth")
            self.end_headers()
            return
        if self.path.startswith("/none/"):
            self.send_error(404)
            return
        content = self.server.content
        self.send_response(200)
        if not self.path.startswith("/unsized/"):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.path.startswith("/cut/") else content)

    def log_message(self, *_):
        pass


@pytest.fixture()
def server(tmp_path):
    torch.save(trained(Classifier("resnet18"), 9).state_dict(), tmp_path / "served.pth")
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        server.content, server.asked = (tmp_path / "served.pth").read_bytes(), 0
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def offered(server, kind="whole", digest=None):
    digest = digest or hashlib.sha256(server.content).hexdigest()
    host, port = server.server_address
    return Published(f"resnet18-{digest[:8]}.pth", f"http://{host}:{port}/{kind}")


@pytest.mark.parametrize("kind", ["whole", "unsized"])
def test_a_whole_file_is_kept_and_asked_for_once(server, tmp_path, kind):
    file = offered(server, kind)
    path = fetch_trunk("resnet18", tmp_path / "cache", published=file)
    assert path == tmp_path / "cache" / file.name and path.read_bytes() == server.content
    assert fetch_trunk("resnet18", tmp_path / "cache", published=file) == path and server.asked == 1
    load_weights(build("resnet18"), "resnet18", path)


def test_a_damaged_copy_is_fetched_again(server, tmp_path):
    file = offered(server)
    (tmp_path / file.name).write_bytes(server.content[:-1])
    assert fetch_trunk("resnet18", tmp_path, published=file).read_bytes() == server.content


def kept(folder):
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("wrong", BadInput, "SHA-256 begins with .*, not 00000000; nothing is kept"),
        ("cut", Unavailable, "could not be downloaded"),
        ("none", Unavailable, "404.*without a network bring the file and name it: --trunk FILE"),
        ("away", BadInput, "http://plain.invalid/file.pth is not https"),
    ],
)
def test_what_is_not_the_whole_file_leaves_nothing(server, tmp_path, kind, error, words):
    file = offered(server, kind, "0" * 64 if kind == "wrong" else None)
    with pytest.raises(error, match=words):
        fetch_trunk("resnet18", tmp_path / "cache", published=file)
    assert kept(tmp_path / "cache") == []


def test_too_much_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", len(server.content) - 1)
    for kind in ("whole", "unsized"):
        with pytest.raises(BadInput, match="no trunk has more than"):
            fetch_trunk("resnet18", tmp_path / "cache", published=offered(server, kind))
    assert kept(tmp_path / "cache") == []


def test_nobody_there_is_said(server, tmp_path):
    file = offered(server)
    server.server_close()
    with pytest.raises(Unavailable, match=r"resnet18-.*\.pth could not be downloaded"):
        fetch_trunk("resnet18", tmp_path, published=file)


def test_only_https_leaves_the_machine(tmp_path):
    with pytest.raises(BadInput, match="not https"):
        fetch_trunk("resnet18", tmp_path, published=Published("a-00.pth", "http://example.invalid"))
    assert all(file.url.startswith("https://") for entry in TRUNKS.values() for file in entry.published)


def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SetupFault, match="file cannot be written"):
        fetch_trunk("resnet18", tmp_path / "file", published=offered(server))


@pytest.fixture()
def davis(tmp_path):
    """One sequence of noise with a square."""
    images, masks = tmp_path / "davis" / "JPEGImages" / "one", tmp_path / "davis" / "Annotations" / "one"
    images.mkdir(parents=True), masks.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for t in range(4):
        mask = np.zeros((80, 96), np.uint8)
        mask[20 + t : 50 + t, 30:60] = 255
        cv2.imwrite(str(images / f"{t}.jpg"), rng.integers(0, 255, (80, 96, 3), dtype=np.uint8))
        cv2.imwrite(str(masks / f"{t}.png"), mask)
    return tmp_path / "davis"


def train(davis, out, *more):
    settings = ("steps=1", "batch=1", "amp=false", "network.embedding=16", "sample.crop_hw=[96, 128]")
    arguments = ["train", "video_object", "--data", str(davis), "--out", str(out), *more]
    return cli.main([*arguments, *(part for setting in settings for part in ("--set", setting))])


def test_the_word_download_fetches_the_trunk_that_the_config_names(
    server, davis, tmp_path, monkeypatch, capsys
):
    file = offered(server)
    monkeypatch.setitem(TRUNKS, "resnet18", Entry(TRUNKS["resnet18"].make, (file,)))
    monkeypatch.setenv("MASKLOOP_DATA_DIR", str(tmp_path / "own"))
    more = ("--trunk", "download", "--set", "network.trunk=resnet18", "--set", "trunk_rate=0")
    assert train(davis, tmp_path / "run", *more, "--set", "weight_decay=0") == 0, capsys.readouterr().err
    assert (tmp_path / "own" / "models" / "trunks" / file.name).read_bytes() == server.content
    assert json.loads((tmp_path / "run" / "card.json").read_text())["began_with"] == file.name
    trunk, weights = build("resnet18"), load_file(tmp_path / "run" / "weights.safetensors")
    load_weights(trunk, "resnet18", tmp_path / "own" / "models" / "trunks" / file.name)
    for name, value in trunk.state_dict().items():
        assert torch.allclose(weights[f"trunk.{name}"].float(), value, atol=2e-3, rtol=1e-3), name


def test_without_a_network_the_word_download_ends_with_what_to_do(
    server, davis, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(TRUNKS, "mobilenet_v2", Entry(TRUNKS["mobilenet_v2"].make, (offered(server),)))
    monkeypatch.setenv("MASKLOOP_DATA_DIR", str(tmp_path / "own"))
    server.server_close()
    assert train(davis, tmp_path / "run", "--trunk", "download") == 3
    assert "bring the file and name it: --trunk FILE" in capsys.readouterr().err
