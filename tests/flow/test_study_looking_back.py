"""The study of attention over time: every row trained once from the same weights, others only switched."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import pytest

from backends.core.errors import BadInput
from backends.video_semantic.loaders import open_scenes
from backends.video_semantic.scenes import tail
from backends.video_semantic.weights_file import load_weights
from pipelines import cli, evaluate_scenes
from pipelines.studies.held_out_clips import ClipMaker
from pipelines.studies.looking_back import CONFIG, plan, scored
from pipelines.studies.looking_back_rows import MORE_ROWS, ROWS
from pipelines.studies.looking_back_run import perform
from pipelines.studies.looking_back_table import summarise, table
from pipelines.train import train
from tests.unit.video_semantic import footage

SETTINGS = (
    "batch=1",
    "warm_up=1",
    "average=0.5",
    "sample.crop_hw=[64, 96]",
    "sample.scale=[0.9, 1.2]",
)
SHORT = ("network.temporal.frames=2",)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return footage.camvid(tmp_path_factory.mktemp("camvid"))


@pytest.fixture(scope="module")
def single(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the first phase, a few steps."""
    out = tmp_path_factory.mktemp("single")
    return train("video_semantic", data=data, out=out, overrides=(*SETTINGS, "steps=3"))


def words(data: Path, out: Path, *more: str) -> list[str]:
    given = [word for item in (*SETTINGS, *SHORT) for word in ("--set", item)]
    return ["study", "looking-back", "--data", str(data), "--out", str(out), "--seeds", "3", *given, *more]


def test_rows_are_trained_once_scored_and_switched(
    data: Path,
    single: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = words(data, tmp_path, "--start-from", str(single), "--steps", "2", "--rows", "usual,rho-0")
    files = ["--json", str(tmp_path / "table.json"), "--plot", str(tmp_path / "bars.png")]
    assert cli.main([*given, *files, "--parallel", "2"]) == 0
    said = capfd.readouterr().out
    assert "0 of 2 runs are done; 2 to go" in said and "TC gain" in said
    first = json.loads((tmp_path / "table.json").read_text())
    assert list(first["rows"]) == ["usual", "rho-0"]
    usual, still = (run["score"] for run in first["runs"])
    assert usual["looks_back"] and not still["looks_back"] and usual["pairs"] == 5
    assert first["rows"]["rho-0"]["gain"]["miou"]["mean"] == 0.0
    assert cv2.imread(str(tmp_path / "bars.png")) is not None

    weights = tmp_path / "usual" / "seed-3" / "weights.safetensors"
    assert load_weights(weights).config.temporal.frames == 2
    assert cli.main([*given, *files, "--weights", str(weights)]) == 0
    assert "2 of 2 runs are done; 0 to go" in capfd.readouterr().out
    second = json.loads((tmp_path / "table.json").read_text())
    assert second["rows"]["usual"]["miou"] == first["rows"]["usual"]["miou"]
    assert second["rows"]["usual at test"]["miou"]["each"] == pytest.approx([usual["miou"]], abs=1e-3)
    assert "frames-1 at test" in second["rows"] and "frames-3 at test" not in second["rows"]  # T is 2 here
    alone = second["rows"]["rho-0 at test"]["miou"]["each"]
    assert alone == pytest.approx([usual["single_frame"]["miou"]], abs=1e-3)

    monkeypatch.setattr(evaluate_scenes, "evaluate_ways", None)  # all is kept: nothing is scored again
    assert cli.main([*given, *files, "--weights", str(weights)]) == 0
    assert json.loads((tmp_path / "table.json").read_text())["rows"] == second["rows"]
    assert cli.main([*given, "--set", "learning_rate=0.1"]) == 2
    assert "holds a run with other settings" in capfd.readouterr().err


def test_settings_are_chosen_on_training_frames_that_no_row_learns_from(
    data: Path, single: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [*SETTINGS, *SHORT, "held_out=0.34"]
    given = options(data, single, overrides=overrides, steps=1, rows="usual", choosing=True, out=tmp_path)
    assert [part.labels.keys() for part in scored(given).footage] == [{7}]
    report = perform(plan(given, "cpu")[0])
    assert "may have learned from the frames that are held out" in capsys.readouterr().err
    assert report["score"]["labelled_frames"] == 1 and report["score"]["pairs"] == 7
    assert report["settings"]["scored"] == "held-out training frames"
    card = json.loads((tmp_path / "usual" / "seed-0" / "card.json").read_text())
    assert card["labelled_frames"] == 2


def test_a_clip_made_from_a_still_ends_with_it_and_moves(data: Path, tmp_path: Path) -> None:
    kept = tail(open_scenes(data, "train"), 0.34)
    made = ClipMaker(kept, tmp_path).scored()
    (part,) = made.footage
    assert len(part.frames) == 8 and list(part.labels) == [7] and part.rate_hz == 15.0
    labels, still = made.labels(0, 7), kept.labels(*kept.labelled()[0])
    assert labels.shape == still.shape and set(labels.ravel()) <= {*range(11), 255}
    assert (labels == footage.CAR).sum() > 1.3 * (still == footage.CAR).sum()  # enlarged by 1.25 each way
    pictures = [made.image(0, index).astype(int) for index in range(8)]
    assert abs(pictures[0] - pictures[7]).mean() > abs(pictures[6] - pictures[7]).mean() > 0
    stamp = part.frames[0].stat().st_mtime_ns
    assert ClipMaker(kept, tmp_path).scored().footage == made.footage
    assert part.frames[0].stat().st_mtime_ns == stamp  # not made again


def options(data: Path, single: Path | None, **given: object) -> argparse.Namespace:
    settings = {
        "rows": None,
        "seeds": "0,1",
        "steps": None,
        "overrides": [],
        "config": CONFIG,
        "split": "val",
    }
    settings |= {"choosing": False, "weights": [], "data": data, "start_from": single, "out": Path("o")}
    return argparse.Namespace(**(settings | given))


def test_every_row_comes_before_the_second_seed_and_differs_in_one_switch(data: Path, single: Path) -> None:
    runs = plan(options(data, single), "cpu")
    assert [(run.seed, run.row) for run in runs] == [(seed, row) for seed in (0, 1) for row in ROWS]
    assert len({run.folder for run in runs}) == len(runs)
    usual = next(run.config for run in runs if run.row == "usual")
    assert usual["network"] == {"looks_back": True, "encoder": "mobilenet_v2", "trunk": ""}
    told = {json.dumps({**run.config, "seed": 0}, sort_keys=True) for run in runs}
    assert len(told) == len(ROWS)
    both = plan(options(data, single, rows=",".join(MORE_ROWS), seeds="5"), "cpu")
    assert [run.config["seed"] for run in both] == [5, 5]


def test_what_cannot_be_studied_is_refused(
    data: Path, single: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    back = train(
        "video_semantic",
        data=data,
        out=tmp_path / "back",
        overrides=(*SETTINGS, *SHORT, "network.looks_back=true", "steps=1"),
        start_from=single,
    )
    for given, message in (
        ({"rows": "usual,xy"}, "--rows xy: unknown; known: usual"),
        ({"seeds": "a"}, "wants whole numbers"),
        ({"start_from": back}, "looks back already"),
        ({"start_from": tmp_path / "none"}, "no such file"),
    ):
        with pytest.raises(BadInput, match=message):
            plan(options(data, single, **given), "cpu")
    for more, message in (
        ((), "nothing to do"),
        (("--weights", str(single)), "nothing to switch"),
        (("--weights", str(back), "--at-test", "window-1-9-1"), "unknown; known: usual"),
        (("--weights", str(back), "--at-test", "frames-3"), "reach beyond"),
        (("--weights", str(back), "--split", "test"), "holds no split 'test'"),
    ):
        assert cli.main(words(data, tmp_path, *more)) == 2
        assert message in capsys.readouterr().err


def test_the_table_compares_rows_of_one_seed() -> None:
    def report(row: str, seed: int, miou: float, steady: float | None, at_test: bool = False) -> dict:
        score = {"miou": miou, "temporal_consistency": steady, "temporal_consistency_occ": steady}
        return {"row": row, "seed": seed, "at_test": at_test, "score": {**score, "ms_per_frame": 9.0}}

    rows = [report("rho-0", 0, 50.0, 80.0), report("usual", 0, 51.0, 83.0)]
    rows += [report("rho-0", 1, 60.0, 82.0), report("usual", 1, 62.0, 84.0)]
    rows += [report("usual", 0, 40.0, None, at_test=True)]
    summary = summarise(rows, "rho-0")
    assert summary["usual"]["miou"]["mean"] == 56.5 and summary["usual"]["gain"]["miou"]["mean"] == 1.5
    assert summary["usual"]["gain"]["temporal_consistency"]["each"] == [3.0, 2.0]
    assert summary["usual at test"]["gain"]["miou"] is None  # another kind of row is no measure for it
    lines = table(summary).splitlines()
    assert "+1.5 ± 0.7" in lines[2] and lines[3].count(" -") == 4
