"""The benchmark of attention over time: every figure is there and is that of what it names."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from backends.video_semantic.networks import NetworkConfig, build
from backends.video_semantic.temporal import TemporalConfig
from backends.video_semantic.weights_file import save_weights
from pipelines import cli
from pipelines.speed import scene_stages
from pipelines.speed.scene_stages import FrameLaps, Module, ScenePlan, count_macs, network_of

USUAL = TemporalConfig(frames=2, width=16)
TINY = ScenePlan(
    frame_hw=(48, 64),
    encoders=("mobilenet_v2",),
    channels=32,
    grid=(6, 8),
    grids=((4, 6), (6, 8)),
    beside_full=((4, 6), (8, 12)),
    frames=(1, 2),
    rhos=(0.0, 1.0),
    rounds=1,
    laps=1,
    usual=USUAL,
)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(scene_stages, "QUICK", TINY)
    monkeypatch.setenv("MASKLOOP_DATA_DIR", str(tmp_path / "data"))
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)


def test_the_report_holds_what_was_measured(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = NetworkConfig(classes=5, looks_back=True, temporal=USUAL)
    save_weights(build(config).state_dict(), config, list("abcde"), tiny / "w.safetensors")
    out, picture = tiny / "bench.json", tiny / "growth.png"
    words = ["bench", "video_semantic", "--quick", "--threads", "1", "--weights", str(tiny / "w.safetensors")]
    assert cli.main([*words, "--json", str(out), "--plot", str(picture)]) == 0
    report = json.loads(out.read_text())

    (row,) = report["configurations"]
    assert report["weights"] == "w.safetensors" and row["encoder"] == "mobilenet_v2" and row["grid"] == [6, 8]
    assert math.isclose(row["overhead"], row["ms_per_frame"] / row["single_ms"] - 1, abs_tol=1e-3)
    assert row["kept_mb"] == pytest.approx(2 * 2 * 48 * 16 * 4 / 1e6, abs=0.006)  # keys, values, T, cells, d
    assert row["peak_mb"] > 50 and row["peak_single_mb"] > 50
    assert [r["rows"] for r in report["beside_full"]] == [4, 8]
    for beside in report["beside_full"]:
        assert beside["times_fewer_macs"] == pytest.approx(
            beside["full_macs"] / beside["sparse_macs"], abs=0.01
        )
        cells = beside["rows"] * beside["columns"]
        assert beside["full_scores_mb"] == pytest.approx(cells**2 * 2 * 4 / 1e6, abs=0.006)  # T, one head
    growth = report["growth"]
    assert [r["frames"] for r in growth["frames"]] == [1, 2]
    assert [r["cells"] for r in growth["cells"]] == [24, 48] and growth["macs_exponent"] == 1.0
    assert growth["rho"][0]["attention_macs"] == 0 < growth["rho"][1]["attention_macs"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "looking back" in said and "growth with share of queries rho" in said
    missed = row["overhead"] > 0.25
    assert ("missed by mobilenet_v2 on 1" if missed else "kept by all") in said
    assert growth["threads"] == 1 and report["seconds"] >= 0


def test_without_looking_back_nothing_is_kept_and_with_it_the_past_fills() -> None:
    network = network_of("mobilenet_v2", USUAL)
    alone, looking = FrameLaps(network, (48, 64), 0.0), FrameLaps(network, (48, 64), 0.5)
    for lap in (alone, looking):
        for _ in range(4):
            lap()
    assert alone.kept_mb == 0 < looking.kept_mb


def test_full_attention_stands_beside_sparse_attention_of_the_same_cells() -> None:
    module = Module(TemporalConfig(frames=2, start=12, end=12, rho=1.0, width=16), 32, (4, 6))
    full = module.full()().transpose(1, 2).reshape(24, 16)
    assert torch.allclose(module.reading()(), full, atol=1e-5)  # windows over all, no bias yet, one tile


def test_macs_are_counted() -> None:
    layers = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 3, padding=1, groups=2), torch.nn.ReLU())
    assert count_macs(layers, lambda: layers(torch.zeros(1, 4, 5, 6))) == 8 * 30 * 9 * 2


def test_what_draws_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "video_object", "--plot", "x.png"]) == 2
    assert "video_semantic" in capsys.readouterr().err
