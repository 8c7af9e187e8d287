"""Ranges from frames, a graph from ranges, and both engines' scores side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backends.video_object.network import Network, NetworkConfig
from backends.video_object.weights_file import save_weights
from pipelines import cli
from tests.flow.test_evaluate import make_davis


def test_measure_then_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASKLOOP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MASKLOOP_THREADS", "1")
    data, weights = make_davis(tmp_path / "davis"), tmp_path / "weights.safetensors"
    network = Network(NetworkConfig(embedding=32, width=16))
    save_weights(network.state_dict(), network.config, weights)
    words = ["--data", str(data), "--sequences", "two", "--weights", str(weights)]
    assert cli.main(["study", "int8", *words]) == 4
    assert "no ranges for" in capsys.readouterr().err
    assert cli.main(["quantise", "video_object", *words, "--frames", "3"]) == 0
    assert "ranges of 3 frames" in capsys.readouterr().out
    assert cli.main(["study", "int8", *words, "--json", str(tmp_path / "int8.json")]) == 0
    report = json.loads((tmp_path / "int8.json").read_text())
    whole, eight = report["scores"].values()
    assert [name.split()[-1] for name in report["scores"]] == ["onnx", "int8"]
    assert report["j_and_f_change"] == pytest.approx(eight["j_and_f"] - whole["j_and_f"], abs=2e-3)
    assert list(report["by_sequence"]) == ["two"]
    assert "eight bits change J&F by" in capsys.readouterr().out
    assert cli.main(["quantise", "clicks", *words]) == 2
