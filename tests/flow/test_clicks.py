"""Learned clicks from weights to answers: exported graphs, promises, and which method the server chooses."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from backends.clicks import learned as learned_module
from backends.clicks.export import export
from backends.clicks.graphs import WEIGHTS
from backends.clicks.learned import LearnedClicks
from backends.clicks.network import ClickNetwork
from backends.clicks.prompts import Click
from backends.clicks.served import ServedClicks
from backends.clicks.simulate import next_click
from backends.clicks.weights_file import load_network, save_weights
from backends.core.errors import BadMask, BadMedia
from backends.core.masks import iou
from backends.core.types import BoxPrompt, Image, Mask, PointPrompt
from backends.engines.onnx import open_session
from backends.labelstudio.rle import decode
from tests.predict_requests import SIZE_HW, click, interactive, task
from tests.redis_server import RedisServer
from tests.served_house import ServedHouse

FRAME = (120, 200)


def point(x: float, y: float, positive: bool = True) -> PointPrompt:
    return PointPrompt("object 1", 0, x, y, positive)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> BoxPrompt:
    return BoxPrompt("object 1", 0, x0, y0, x1, y1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights: what must hold, must hold for them too."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    network = ClickNetwork()
    save_weights(network.state_dict(), network.config, path)
    return path


@pytest.fixture(scope="module")
def clicks(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> LearnedClicks:
    folder = tmp_path_factory.mktemp("graphs")
    for part in ("frame", "head"):
        export(part, weights, folder / part)
    return LearnedClicks(open_session(folder / "frame", 1), open_session(folder / "head", 1))


@pytest.fixture(scope="module")
def scene() -> Image:
    rng = np.random.default_rng(2)
    picture = rng.integers(0, 90, (*FRAME, 3), np.uint8)
    picture[30:80, 60:140] = (200, 90, 40)
    return picture


def test_the_graphs_compute_what_torch_computes(weights: Path, tmp_path: Path) -> None:
    network = load_network(weights)
    for part in ("frame", "head"):
        export(part, weights, tmp_path / part)
    frame, head = open_session(tmp_path / "frame", 1), open_session(tmp_path / "head", 1)
    rng = np.random.default_rng(0)
    for batch, height, width, count in ((2, 64, 96, 2), (1, 96, 160, 5), (3, 32, 32, 1)):
        picture = rng.integers(0, 255, (batch, height, width, 3), np.uint8)
        names = [output.name for output in frame.get_outputs()]
        features = dict(zip(names, frame.run(names, {"frame": picture}), strict=True))
        said = {
            "maps": rng.random((batch, 6, height // 4, width // 4), np.float32),
            "places": rng.uniform(-1, 1, (batch, count, 2)).astype(np.float32),
            "signs": rng.choice([-1.0, 1.0], (batch, count)).astype(np.float32),
        }
        [logits] = head.run(None, {**features, **said})
        with torch.no_grad():
            encoded = network.encode(torch.from_numpy(picture).permute(0, 3, 1, 2).float() / 255)
            expected = network(encoded, *(torch.from_numpy(said[k]) for k in ("maps", "places", "signs")))
        assert np.abs(logits - expected.numpy()).max() < 1e-3


def test_what_was_said_holds_everywhere(clicks: LearnedClicks, scene: Image) -> None:
    """Random clicks, edges and outside included: positive inside, negative outside, never a crash."""
    rng = np.random.default_rng(5)
    height, width = FRAME
    spots = [(0.0, 0.0), (width - 1.0, 0.0), (width, height), *rng.uniform(0, (width, height), (9, 2))]
    previous: Mask | None = None
    for (x, y), (other_x, other_y) in itertools.pairwise(spots):
        previous = clicks.mask(scene, [point(x, y), point(other_x, other_y, False)], (), previous)
        assert previous.shape == FRAME and previous.dtype == np.bool_
        assert previous[min(int(y), height - 1), min(int(x), width - 1)]
        assert not previous[min(int(other_y), height - 1), min(int(other_x), width - 1)]


def test_box_with_clicks_inside_and_far_away(clicks: LearnedClicks, scene: Image) -> None:
    mask = clicks.mask(scene, [point(100, 50, False), point(190, 110)], [rectangle(60, 30, 140, 80)])
    assert mask.any() and not mask[50, 100] and mask[110, 190]
    assert clicks.mask(scene, [], [rectangle(500, 500, 600, 600)]).any(), "a box outside counts at the edge"


def test_without_anything_to_go_by_nothing_changes(clicks: LearnedClicks, scene: Image) -> None:
    before = np.zeros(FRAME, np.bool_)
    before[20:40, 20:40] = True
    assert not clicks.mask(scene, []).any()
    assert not clicks.mask(scene, [point(9, 9, False)]).any()
    assert not clicks.mask(scene, [point(9, 9, False)], (), np.zeros(FRAME, np.bool_)).any()
    same = clicks.mask(scene, [], (), before)
    assert np.array_equal(same, before) and same is not before


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (8, 8), (9, 5), (300, 1)])
def test_tiny_frames_do_not_break_it(clicks: LearnedClicks, size: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (*size, 3), np.uint8)
    mask = clicks.mask(picture, [point(0, 0)])
    assert mask.shape == size and mask[0, 0]
    assert clicks.mask(picture, [], [rectangle(0, 0, size[1], size[0])]).any()
    assert not clicks.mask(picture, [point(0, 0, False)], (), np.ones(size, np.bool_))[0, 0]


def test_wrong_shapes_are_refused(clicks: LearnedClicks, scene: Image) -> None:
    with pytest.raises(BadMedia, match="uint8"):
        clicks.mask(scene[:, :, 0], [point(1, 1)])
    with pytest.raises(BadMask, match="sizes must agree"):
        clicks.mask(scene, [point(1, 1)], (), np.zeros((5, 5), np.bool_))


def test_a_further_click_uses_what_the_frame_gave(weights: Path, clicks: LearnedClicks, scene: Image) -> None:
    """Counted at the seam: the frame's graph runs for new views only, and few frames are remembered."""
    counted = _Counting(clicks._frame)
    fresh = LearnedClicks(counted, clicks._head)  # type: ignore[arg-type]
    first = fresh.mask(scene, [point(100, 50)])
    runs = counted.runs
    assert 1 <= runs <= 2
    again = fresh.mask(scene.copy(), [point(100, 50)])
    assert counted.runs == runs and np.array_equal(first, again)
    before = np.zeros(FRAME, np.bool_)
    before[30:80, 60:140] = True
    for x in (70, 90, 110, 130):
        fresh.mask(scene, [point(x, 50)], (), before)
    assert counted.runs <= runs + 1, "the first of them may want a closer view"
    for shade in range(learned_module.KEPT_FRAMES + 2):
        fresh.mask(np.full_like(scene, shade), [point(100, 50)])
    assert len(fresh._kept) == learned_module.KEPT_FRAMES


class _Counting:
    """A session that counts its runs."""

    def __init__(self, session: object) -> None:
        self.session, self.runs = session, 0

    def run(self, *args: object) -> object:
        self.runs += 1
        return self.session.run(*args)  # type: ignore[attr-defined]

    def get_outputs(self) -> object:
        return self.session.get_outputs()  # type: ignore[attr-defined]


# the weights that ship

needs_weights = pytest.mark.skipif(not WEIGHTS.is_file(), reason="no weights ship with this checkout")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> LearnedClicks:
    folder = tmp_path_factory.mktemp("shipped")
    for part in ("frame", "head"):
        export(part, WEIGHTS, folder / part)
    return LearnedClicks(open_session(folder / "frame", 1), open_session(folder / "head", 1))


@needs_weights
def test_the_shipped_weights_find_a_cat_before_a_cup(shipped: LearnedClicks) -> None:
    """A cat's head, a photograph pasted before another: seen by a click, a box, and repaired by clicks."""
    frame = np.ascontiguousarray(data.coffee()[:380, :580])
    truth = np.zeros((380, 580), np.uint8)
    cv2.ellipse(truth, (300, 190), (120, 90), 0, 0, 360, 1, -1)
    cat = cv2.resize(np.asarray(data.chelsea()), (580, 380))
    frame[truth > 0] = cat[truth > 0]
    wanted = truth > 0
    one = shipped.mask(frame, [point(300, 190)])
    assert iou(one, wanted) > 0.5
    assert iou(shipped.mask(frame, [], [rectangle(180, 100, 420, 280)]), wanted) > 0.7
    mask, clicks = one, [Click(300.5, 190.5, True)]
    while len(clicks) < 6 and (after := next_click(mask, wanted, clicks)):
        clicks.append(after)
        mask = shipped.mask(frame, [point(c.x - 0.5, c.y - 0.5, c.positive) for c in clicks], (), mask)
    assert iou(mask, wanted) > max(0.8, iou(one, wanted) - 0.02)


# which method answers


def test_the_server_answers_by_grabcut_until_the_network_is_ready(weights: Path, tmp_path: Path) -> None:
    told: list[str] = []
    served = ServedClicks(tmp_path, 1, weights=weights, tell=told.append)
    scene = np.zeros((60, 80, 3), np.uint8)
    scene[20:40, 20:50] = 220
    assert served.method == "grabcut" and served.mask(scene, [point(30, 30)])[30, 30]
    served.start().join(300)
    assert served.method == "learned" and not told
    assert served.mask(scene, [point(30, 30)])[30, 30]
    assert len(list(tmp_path.glob("*.onnx"))) == 2
    code = (
        "import sys; from pathlib import Path; from backends.clicks.served import ServedClicks; "
        f"served = ServedClicks(Path({str(tmp_path)!r}), 1, weights=Path({str(weights)!r})); "
        "served.prepare(); "
        "assert served.method == 'learned' and 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("fault", ["no weights", "other weights"])
def test_where_the_network_cannot_be_had_grabcut_stays_and_it_is_said(tmp_path: Path, fault: str) -> None:
    path, told = tmp_path / "weights.safetensors", []
    if fault == "other weights":
        path.write_bytes(b"something else")
    served = ServedClicks(tmp_path / "graphs", 1, weights=path, tell=told.append)
    served.prepare()
    assert served.method == "grabcut" and len(told) == 1 and "GrabCut" in told[0]
    assert served.mask(np.zeros((20, 20, 3), np.uint8), [point(5, 5)])[5, 5]
    assert not list(tmp_path.glob("graphs/*.onnx"))


def test_a_fault_of_the_network_does_not_cost_the_click(
    clicks: LearnedClicks, scene: Image, tmp_path: Path
) -> None:
    told: list[str] = []
    served = ServedClicks(tmp_path, 1, tell=told.append)
    served._learned = LearnedClicks(clicks._frame, clicks._frame)  # the wrong graph: every answer fails
    for _ in range(2):
        assert served.mask(scene, [point(100, 50)])[50, 100]
    assert len(told) == 1 and "the network failed" in told[0]
    with pytest.raises(BadMask):  # a caller's mistake is not answered by anybody
        served.mask(scene, [point(1, 1)], (), np.zeros((5, 5), np.bool_))


@pytest.fixture
def house(tmp_path: Path, redis_server: RedisServer, clicks: LearnedClicks) -> Iterator[ServedHouse]:
    built = ServedHouse(tmp_path, redis_server.url)
    built.clicks._learned = clicks
    yield built
    built.close()


def test_clicks_reach_the_network_over_http_and_add_up(house: ServedHouse) -> None:
    def ask(name: str, x: float, y: float, positive: bool = True) -> Mask:
        gesture = click(name, "object 1", 0, x, y, positive=positive)
        [region] = house.predict(interactive(task(5, 6), [gesture]))[0]["result"]
        return decode(region["value"]["rle"], SIZE_HW)

    assert ask("a", 20, 24)[24, 20]
    both = ask("b", 46, 14)
    assert both[24, 20] and both[14, 46]
    cut = ask("c", 46, 14, positive=False)
    assert cut[24, 20] and not cut[14, 46]
    assert not house.told()


@needs_weights
def test_the_server_prepares_the_network_at_its_start(tmp_path: Path) -> None:
    env = {**os.environ, "MASKLOOP_DATA_DIR": str(tmp_path), "MASKLOOP_SECRET": "0123456789abcdef0123"}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env |= {"MASKLOOP_PORT": str(port), "MASKLOOP_LABEL_STUDIO_TOKEN": "0" * 40}
    server = subprocess.Popen([sys.executable, "-m", "backends.wsgi"], env=env, stderr=subprocess.DEVNULL)
    graphs = tmp_path / "cache" / "graphs"
    deadline = time.monotonic() + 300
    try:
        while len(list(graphs.glob("clicks-*.onnx.sha256"))) < 2:
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        server.terminate()
        assert server.wait(60) == 0


@needs_weights
@pytest.mark.parametrize("pause_s", [0.0, 0.5, 1.5])
def test_the_server_ends_in_order_while_it_prepares_the_network(tmp_path: Path, pause_s: float) -> None:
    env = {**os.environ, "MASKLOOP_DATA_DIR": str(tmp_path), "MASKLOOP_SECRET": "0123456789abcdef0123"}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env |= {"MASKLOOP_PORT": str(port), "MASKLOOP_LABEL_STUDIO_TOKEN": "0" * 40}
    server = subprocess.Popen([sys.executable, "-m", "backends.wsgi"], env=env, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    time.sleep(pause_s)  # the moments at which it is told to stop, not something that is waited for
    server.terminate()
    assert server.wait(60) == 0
