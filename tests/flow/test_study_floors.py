"""The floors beside the network, in one table, scored by the same code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from backends.video_object.first_mask import FirstMaskCopied
from backends.video_object.network import Network, NetworkConfig
from backends.video_object.weights_file import save_weights
from pipelines import cli
from pipelines.evaluate import evaluate_video_object
from pipelines.studies.floors import compare
from tests.flow.test_evaluate import Oracle, make_davis
from tests.media import NearestAnchor
from tests.unit.trunks.test_trunk import unfolded


def test_each_method_is_scored_as_evaluate_scores_it(tmp_path: Path) -> None:
    data = make_davis(tmp_path)
    report = compare([FirstMaskCopied(), Oracle()], data, None)
    copied = report["first mask copied"]
    assert report["nearest-00000000"]["j_and_f"] == 100.0
    assert 0 < copied["j"] < 100
    assert copied["j"] == evaluate_video_object(NearestAnchor(), data)["j"]


def test_one_table_with_a_column_per_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_davis(tmp_path / "davis")
    torch.save(unfolded(), tmp_path / "trunk.pth")
    network = Network(NetworkConfig(embedding=32))
    save_weights(network.state_dict(), network.config, tmp_path / "weights.safetensors")
    weights = ["--weights", str(tmp_path / "weights.safetensors")]
    words = ["study", "floors", "--data", str(data), "--sequences", "two", *weights]
    out = tmp_path / "floors.json"
    assert cli.main([*words, "--trunk", str(tmp_path / "trunk.pth"), "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    methods = list(report)
    assert methods[:2] == ["first mask copied", "label propagation"] and len(methods) == 3
    assert methods[2].startswith("video_object-")
    assert [list(part["per_sequence"]) for part in report.values()] == [["two"]] * 3
    said = capsys.readouterr().out
    assert all(method in said for method in methods) and "J&F, all objects" in said

    assert cli.main([*words, "--trunk", str(tmp_path / "nothing.pth")]) == 2
    assert "no such file" in capsys.readouterr().err
