"""The benchmark of propagation: every figure there, measured on what it says. No time is tested."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from backends.weak_shot.propagation import Walk
from backends.weak_shot.weights_file import save
from pipelines import cli
from pipelines.speed import weak_shot
from pipelines.speed.dense_walk import dense_propagation, draw_grid
from pipelines.speed.weak_shot import WalkPlan, peak_mb, untrained
from tests.unit.weak_shot.grids import dense_propagation as reference

TINY = WalkPlan(reference_side=12, sides=(12, 24), photo_hw=(60, 80), rounds=1, photo_rounds=1)


def test_the_report_holds_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    weights = tmp_path / "weights.safetensors"
    save(untrained(), weights)
    monkeypatch.setattr(weak_shot, "QUICK", TINY)
    out, picture = tmp_path / "bench.json", tmp_path / "growth.png"
    words = ["bench", "weak_shot", "--quick", "--threads", "1", "--weights", str(weights)]
    assert cli.main([*words, "--json", str(out), "--plot", str(picture)]) == 0
    report = json.loads(out.read_text())

    beside = report["reference"]
    assert (beside["side"], beside["rows"], beside["method"]) == (12, 3, "chebyshev")
    assert beside["largest_difference"] < 1e-5 and beside["same_labels"] == 1
    assert math.isclose(beside["times_faster"], beside["dense_ms"] / beside["ms"], abs_tol=0.01)
    assert math.isclose(beside["times_smaller"], beside["dense_mb"] / beside["mb"], abs_tol=0.01)
    by = {row["method"]: row for row in beside["methods"]}
    assert set(by) == {"chebyshev", "steps", "implicit"}
    assert by["steps"]["largest_difference"] < 1e-5 < by["implicit"]["largest_difference"]
    assert [row["cells"] for row in report["growth"]] == [144, 576]
    assert all(row["p95_ms"] >= row["ms"] > 0 and row["mb"] > 0 for row in report["growth"])
    slope = np.log(report["growth"][1]["mb"] / report["growth"][0]["mb"]) / np.log(4)
    assert report["memory_exponent"] == pytest.approx(slope, abs=2e-3)
    photo = report["photo"][0]
    assert (photo["rows_px"], photo["columns_px"], photo["threads"]) == (60, 80, 1) and photo["ms"] > 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "times faster than the dense reference" in capsys.readouterr().out


def test_without_weights_untrained_networks_stand_in() -> None:
    report = weak_shot.bench_weak_shot(None, [1], TINY)
    assert report["weights"] == "untrained" and report["photo"][0]["ms"] > 0


def test_the_benchmarks_reference_is_the_tests_reference() -> None:
    """Two dense versions, written apart: index arrays in float32 here, pair by pair in float64 there."""
    grid = draw_grid(11)
    found = dense_propagation(grid, Walk())
    wanted, _, _ = reference(grid.scores, grid.pairs, grid.boundary)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert grid.boundary.any() and np.abs(wanted - grid.scores).max() > 0.1


def test_peak_memory_is_that_of_the_run() -> None:
    held = np.ones(3_000_000, np.uint8)
    assert 4.9 < peak_mb(lambda: np.ones(5_000_000, np.uint8)) < 5.5
    assert held.sum() == 3_000_000


def test_what_cannot_be_timed_or_drawn_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "weak_shot", "--weights", str(tmp_path / "none")]) == 2
    assert cli.main(["bench", "video_object", "--plot", str(tmp_path / "x.png")]) == 2
    assert cli.main(["bench", "clicks"]) == 2
    said = capsys.readouterr().err
    assert "no such file" in said and "draws nothing" in said and "'clicks' cannot be timed; known: " in said


@pytest.fixture(autouse=True)
def threads_come_back():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
