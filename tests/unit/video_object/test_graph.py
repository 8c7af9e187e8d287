"""The exported graphs against the network itself, and what happens where there can be none."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from backends.core.errors import SetupFault
from backends.core.types import Clip, MaskPrompt
from backends.registry import Registry
from backends.settings import Settings
from backends.video_object import centres
from backends.video_object.graph import ExportedEngine, fingerprint, open_engine
from backends.video_object.int8 import RANGES, measure_ranges, ranges_for
from backends.video_object.network import Network, NetworkConfig
from backends.video_object.segmenter import load
from backends.video_object.template import condense
from backends.video_object.weights_file import save_weights

SMALL, LARGER = (128, 192), (240, 320)
CLOSE = 1e-3


def photo(size: tuple[int, int], seed: int) -> torch.Tensor:
    """(1, 3, H, W): a smooth picture with some detail."""
    drawn = torch.Generator().manual_seed(seed)
    blobs = F.interpolate(torch.rand(1, 3, 6, 8, generator=drawn), size=size, mode="bicubic")
    return (blobs + 0.1 * torch.rand(1, 3, *size, generator=drawn)).clamp(0, 1)


def masks_of(size: tuple[int, int], slots: int) -> torch.Tensor:
    """(1, K, H/4, W/4): soft discs."""
    y, x = torch.meshgrid(torch.arange(size[0] / 4), torch.arange(size[1] / 4), indexing="ij")
    discs = [torch.sigmoid(6 - (y - 12).hypot(x - 10 - 13 * k)) for k in range(slots)]
    return torch.stack(discs)[None]


def answers(engine, network: Network, size: tuple[int, int], slots: int, prior: bool = True):
    """What an engine says of a frame that follows the template's frame."""
    config, previous = network.config, masks_of(size, slots)
    first, now = engine.encode(photo(size, 1)), engine.encode(photo(size, 2))
    rows, shares = condense(first.embedded, F.avg_pool2d(previous, 4).flatten(2), first.grid_hw)
    template = network.template(rows, shares)
    expected = centres.prior_of(previous, 4) if prior else None
    assert config.embedding <= rows.shape[1]
    return now, engine.decode(now, template, first, previous, expected)


def assert_alike(engine: ExportedEngine, network: Network, size: tuple[int, int], slots: int, prior=True):
    now, decoded = answers(engine, network, size, slots, prior)
    wanted_now, wanted = answers(network, network, size, slots, prior)
    assert now.grid_hw == wanted_now.grid_hw
    for name in ("embedded", "near16", "near8", "near4"):
        torch.testing.assert_close(getattr(now, name), getattr(wanted_now, name), atol=CLOSE, rtol=CLOSE)
    for name in ("logits", "vote", "familiar", "steady"):
        found, want = getattr(decoded, name), getattr(wanted, name)
        assert (found is None) == (want is None), name
        if want is not None:
            torch.testing.assert_close(found, want, atol=CLOSE, rtol=CLOSE, msg=lambda m, n=name: f"{n}: {m}")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    weights = Registry(Path("no such folder")).served("video_object").weights
    network = load(weights).network
    return open_engine(network, weights, tmp_path_factory.mktemp("graphs"), 1), network


@pytest.mark.parametrize(("size", "slots"), [(LARGER, 1), (LARGER, 3), ((256, 272), 1)])
@torch.inference_mode()
def test_the_shipped_networks_graphs_say_what_torch_says(shipped, size, slots):
    assert_alike(*shipped, size, slots)


@pytest.mark.parametrize(
    ("lc", "co", "trunk"),
    [
        ("top4", "fuse", "mobilenet_v2"),
        ("full", "aux", "mobilenet_v2"),
        ("off", "off", "mobilenet_v2"),
        ("top4", "fuse", "resnet18"),
    ],
)
@torch.inference_mode()
def test_every_switch_is_in_the_graphs(tmp_path, lc, co, trunk):
    torch.manual_seed(0)
    network = Network(NetworkConfig(trunk=trunk, embedding=24, lc=lc, lc_radius=2, co=co, width=16)).eval()
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"only its digest counts")
    engine = open_engine(network, weights, tmp_path, 1)
    for size, slots in ((SMALL, 1), (SMALL, 3), ((144, 160), 2)):
        assert_alike(engine, network, size, slots)
    assert_alike(engine, network, SMALL, 2, prior=False)


@torch.inference_mode()
def test_small_objects_and_objects_out_of_sight_are_matched_alike(shipped):
    engine, network = shipped
    first, now = network.encode(photo(LARGER, 1)), network.encode(photo(LARGER, 2))
    shares = torch.zeros(1, 4, first.embedded.shape[1])
    shares[0, 0, 77], shares[0, 1, 5:9], shares[0, 3, 40:42] = 0.3, 1.0, 0.6  # the third is not there at all
    rows, masks = condense(first.embedded, shares, first.grid_hw)
    masks[:, 1, ::3] = -1.0  # nobody said
    masks[:, :, 9] = -1.0
    template = network.template(rows, masks)
    previous = masks_of(LARGER, 4)
    for state in (previous, torch.zeros_like(previous), previous * torch.tensor([0, 1, 0, 1])[:, None, None]):
        wanted = network.decode(now, template, first, state, centres.prior_of(state, 4))
        found = engine.decode(now, template, first, state, centres.prior_of(state, 4))
        torch.testing.assert_close(found.logits, wanted.logits, atol=CLOSE, rtol=CLOSE)
        torch.testing.assert_close(found.familiar, wanted.familiar, atol=CLOSE, rtol=CLOSE)


def test_graphs_are_made_once_for_the_same_weights(tmp_path, monkeypatch):
    weights = tmp_path / "weights.safetensors"
    network = Network(NetworkConfig(embedding=24, width=16))
    save_weights(network.state_dict(), network.config, weights)
    first = load(weights, engine="onnx", graphs=tmp_path, threads=1)
    assert isinstance(first.engine, ExportedEngine) and first.engine.config == network.config

    def never(*_):
        raise AssertionError("made again")

    monkeypatch.setattr("backends.video_object.graph.export_encode", never)
    again = load(weights, graphs=tmp_path, threads=1)
    assert isinstance(again.engine, ExportedEngine)
    assert load(weights, engine="torch", graphs=tmp_path).engine is not None
    assert isinstance(load(weights, engine="torch", graphs=tmp_path).engine, Network)
    before = fingerprint(weights)
    save_weights({k: v + 1 for k, v in network.state_dict().items()}, network.config, weights)
    assert fingerprint(weights) != before


def test_the_trunk_in_eight_bits_is_built_from_ranges_without_data(tmp_path):
    torch.manual_seed(0)
    weights = tmp_path / "weights.safetensors"
    network = Network(NetworkConfig(embedding=24, width=16)).eval()
    save_weights(network.state_dict(), network.config, weights)
    with pytest.raises(SetupFault, match="no ranges for"):
        load(weights, engine="int8", graphs=tmp_path, threads=1)
    network = load(weights).network
    measure_ranges(network, weights, [photo(SMALL, seed) for seed in range(3)], tmp_path / RANGES)
    assert ranges_for(weights) == tmp_path / RANGES
    engine = load(weights, engine="int8", graphs=tmp_path, threads=1).engine
    [graph] = tmp_path.glob("video_object-int8-*.onnx")
    assert b"QuantizeLinear" in graph.read_bytes()
    with torch.inference_mode():
        found, wanted = engine.encode(photo(SMALL, 9)), network.encode(photo(SMALL, 9))
    assert not torch.equal(found.near4, wanted.near4)
    assert (found.near4 - wanted.near4).norm() < 0.5 * wanted.near4.norm()
    save_weights({k: v + 1 for k, v in network.state_dict().items()}, network.config, weights)
    assert ranges_for(weights) is None, "other weights have other ranges"


def test_without_graphs_torch_goes_on_and_says_so(tmp_path, caplog):
    weights, blocked = tmp_path / "weights.safetensors", tmp_path / "a file"
    network = Network(NetworkConfig(embedding=24, width=16))
    save_weights(network.state_dict(), network.config, weights)
    blocked.write_text("no folder can be made here")
    with caplog.at_level(logging.WARNING):
        segmenter = load(weights, graphs=blocked / "graphs")
    assert "computed by torch" in caplog.text
    frame = np.full((96, 128, 3), 90, np.uint8)
    mask = np.zeros((96, 128), bool)
    mask[30:60, 40:80] = True
    clip = Clip("flat", [frame, frame], mask.shape, ("0", "1"))
    assert len(list(segmenter.segment(clip, [MaskPrompt("cat", 0, mask)]))) == 2
    with pytest.raises(SetupFault, match="no graphs could be made"):
        load(weights, engine="onnx", graphs=blocked / "graphs")


def test_an_unknown_engine_is_refused():
    with pytest.raises(SetupFault, match="MASKLOOP_ENGINE is 'openvino'; it can be auto, onnx, int8, torch"):
        Settings(engine="openvino")
