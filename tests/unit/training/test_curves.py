"""The curves are drawn from whatever a run left, and a picture that cannot be drawn stops nothing."""

import json
import sys

import cv2
import numpy as np
import pytest

from backends.training import curves
from backends.video_object.run_folder import PANELS


def metrics(folder, count=200, **more):
    rng = np.random.default_rng(3)
    lines = []
    for step in range(1, count + 1):
        loss = 2 * np.exp(-step / 50) + 0.1 * rng.random()
        figures = {"step": step, "loss": loss, "first": loss * 0.9, "last": loss * 1.1, "gradient": 1 + loss}
        lines.append(json.dumps(figures | more))
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return lines


def picture(folder):
    return cv2.imread(str(folder / "curves.png"))


def test_a_run_becomes_a_picture_with_a_panel_per_kind_of_figure(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra 'plots' is not installed")
    metrics(tmp_path)
    assert curves.draw(tmp_path, PANELS) is None
    without = picture(tmp_path)
    metrics(tmp_path, rate=1e-3, trunk_rate=1e-4)
    assert curves.draw(tmp_path, PANELS) is None
    with_rates = picture(tmp_path)
    assert with_rates.shape[1] == without.shape[1] == 900
    assert with_rates.shape[0] == without.shape[0] * 3 // 2
    assert (with_rates.std(axis=2) > 40).sum() > 1000, "no coloured lines"
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["curves.png", "metrics.jsonl"]


def test_a_torn_last_line_is_passed_over(tmp_path):
    lines = metrics(tmp_path, 5)
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 6, "lo')
    assert [s["step"] for s in curves.read(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("span", [1, 2, 5, 50])
def test_smoothing_keeps_a_constant_and_a_gap(span):
    values = np.full(20, 3.0)
    values[7] = np.nan
    smoothed = curves.smooth(values, span)
    assert np.allclose(smoothed[np.isfinite(smoothed)], 3.0)
    assert np.isnan(smoothed).sum() == (1 if span == 1 else 0)


def test_smoothing_takes_the_mean_of_the_neighbours():
    assert np.allclose(curves.smooth(np.array([0.0, 3, 6, 0, 3]), 3), [1.5, 3, 3, 3, 1.5])


def test_what_hinders_the_picture_is_said_and_not_raised(tmp_path, monkeypatch):
    assert "no step" in curves.draw(tmp_path, PANELS)
    metrics(tmp_path, 3)
    (tmp_path / "curves.png").mkdir()
    assert "no curves.png" in curves.draw(tmp_path, PANELS)
    (tmp_path / "metrics.jsonl").write_text('{"loss": 1}\n')
    assert "KeyError" in curves.draw(tmp_path, PANELS)
    metrics(tmp_path, 3)
    for name in ("matplotlib.backends.backend_agg", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "pip install 'maskloop[plots]'" in curves.draw(tmp_path, PANELS)
