"""Whole scenes on drawn footage: both phases of training, kill -9 in between, scores and refusals."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from backends import registry
from backends.core.errors import BadInput
from backends.video_semantic.weights_file import load_weights
from pipelines import cli
from pipelines.train import train
from tests.unit.video_semantic import footage

SETTINGS = (
    "batch=2",
    "warm_up=2",
    "checkpoint_every=3",
    "average=0.5",
    "learning_rate=0.004",
    "sample.crop_hw=[64, 96]",
    "sample.scale=[0.9, 1.2]",
)
BACK = ("network.looks_back=true", "network.temporal.frames=2", "loss.steady=1.0")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return footage.camvid(tmp_path_factory.mktemp("camvid"))


@pytest.fixture(scope="module")
def first(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the first phase, two dozen steps."""
    out = tmp_path_factory.mktemp("first")
    return train("video_semantic", data=data, out=out, overrides=(*SETTINGS, "steps=24"))


def lines(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_the_first_phase_learns(first: Path) -> None:
    steps = lines(first.parent)
    assert [line["step"] for line in steps] == list(range(1, 25))
    assert sum(line["jaccard"] for line in steps[-5:]) < 0.8 * sum(line["jaccard"] for line in steps[:5])
    card = json.loads((first.parent / "card.json").read_text())
    assert card["labelled_frames"] == 3 and card["config"]["network"]["classes"] == 11
    assert load_weights(first).classes[8] == "car"


@pytest.mark.parametrize("more", [(), BACK], ids=["single frames", "clips"])
def test_a_killed_run_ends_as_an_unbroken_one(data: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    overrides = (*SETTINGS, *more, "steps=7")
    whole = train("video_semantic", data=data, out=tmp_path / "whole", overrides=overrides)
    command = [sys.executable, "-m", "pipelines.cli", "train", "video_semantic", "--data", str(data)]
    command += ["--out", str(tmp_path / "killed"), *(w for item in overrides for w in ("--set", item))]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as running:
        log = tmp_path / "killed" / "metrics.jsonl"
        while running.poll() is None and not (log.is_file() and len(log.read_text().splitlines()) >= 4):
            time.sleep(0.02)
        running.kill()
    assert len(lines(tmp_path / "killed")) >= 4
    gone_on = train("video_semantic", data=data, out=tmp_path / "killed", overrides=overrides)
    one, other = load_file(whole), load_file(gone_on)
    assert one.keys() == other.keys()
    assert all(torch.allclose(one[k].float(), other[k].float(), atol=2e-3) for k in one)
    assert [line["step"] for line in lines(tmp_path / "killed")] == list(range(1, 8))


def test_the_second_phase_goes_on_from_the_first_and_is_scored_beside_it(
    data: Path, first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = (*SETTINGS, *BACK, "steps=6", "trunk_rate=0.0")
    weights = train("video_semantic", data=data, out=tmp_path / "run", overrides=overrides, start_from=first)
    network = load_weights(weights).network
    assert network.temporal is not None and bool(network.temporal.expand.weight.any())
    assert {"hard", "jaccard", "steady"} <= lines(tmp_path / "run")[-1].keys()
    before, after = load_file(first), load_file(weights)
    assert all(torch.equal(before[k], after[k]) for k in before), "nothing but the attention learned"
    reports = []
    for chosen in (first, weights):
        words = ["evaluate", "video_semantic", "--data", str(data), "--split", "val"]
        words += ["--weights", str(chosen), "--json", str(tmp_path / "scores.json")]
        assert cli.main(words) == 0
        reports.append(json.loads((tmp_path / "scores.json").read_text()))
    alone, video = reports
    assert not alone["looks_back"] and video["looks_back"]
    for report in reports:
        assert 0 < report["miou"] <= 100 and report["ms_per_frame"] > 0 and report["pairs"] == 5
        assert report["truth"]["temporal_consistency"] > 85  # the car moves three pixels, DIS follows
        assert set(report["per_class"]["car"]) == {"iou", "temporal_consistency", "temporal_consistency_occ"}
        assert report["per_class"]["pole"]["iou"] in (None, 0.0)
    # nothing but the attention learned (trunk_rate 0), so the single-frame answers are the first phase's
    assert video["single_frame"]["miou"] == pytest.approx(alone["miou"], abs=0.5)
    assert alone["single_frame"]["miou"] == alone["miou"]
    assert "all classes" in capsys.readouterr().out


def test_weights_that_ship_are_scored_without_being_named(
    data: Path, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "shipped" / "video_semantic" / "weights" / "weights.safetensors"
    place.parent.mkdir(parents=True)
    place.symlink_to(first)
    monkeypatch.setattr(registry, "_SHIPPED", tmp_path / "shipped")
    monkeypatch.setenv("MASKLOOP_DATA_DIR", str(tmp_path / "data"))
    words = ["evaluate", "video_semantic", "--data", str(data), "--split", "val"]
    assert cli.main([*words, "--json", str(tmp_path / "scores.json")]) == 0
    report = json.loads((tmp_path / "scores.json").read_text())
    assert report["version"] == registry.version_of("video_semantic", first) and report["split"] == "val"
    figures = ("miou", "temporal_consistency", "temporal_consistency_occ", "ms_per_frame")
    assert all(report[key] == report["single_frame"][key] for key in figures)  # these answer frames alone


def test_other_classes_than_the_weights_know_are_refused(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    footage.write(tmp_path / "raw", "val", ["A_00002"])
    (tmp_path / "frames").mkdir(), (tmp_path / "masks").mkdir()
    (tmp_path / "raw" / "val").rename(tmp_path / "frames" / "clip")
    (tmp_path / "raw" / "valannot").rename(tmp_path / "masks" / "clip")
    (tmp_path / "classes.json").write_text(json.dumps({"classes": ["a", "b"], "val": ["clip"]}))
    words = ["evaluate", "video_semantic", "--data", str(tmp_path), "--weights", str(first)]
    assert cli.main(words) == 2
    assert "has the classes a, b" in capsys.readouterr().err


def test_settings_that_do_not_exist_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"unknown training setting loss\.'hardness'"):
        train("video_semantic", data=data, out=tmp_path, overrides=("loss.hardness=1",))
    with pytest.raises(BadInput, match="unknown encoder"):
        train("video_semantic", data=data, out=tmp_path, overrides=('network.encoder="psp19"',))


def test_a_run_without_any_counted_pixel_does_not_stumble(tmp_path: Path) -> None:
    footage.write(tmp_path, "train", ["A_00030"])
    import cv2
    import numpy as np

    cv2.imwrite(str(tmp_path / "trainannot" / "A_00030.png"), np.full(footage.SIZE, 11, np.uint8))
    out = tmp_path / "run"
    train("video_semantic", data=tmp_path, out=out, overrides=(*SETTINGS, "steps=1"))
    assert lines(out)[0]["loss"] == 0.0
