"""The ablation: every row trained and scored in its own process, once; and what its table says."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from backends.core.errors import BadInput
from backends.core.types import MaskPrompt
from backends.video_object.network import Network, NetworkConfig
from backends.video_object.weights_file import save_weights
from pipelines import cli
from pipelines.media import davis
from pipelines.studies.ablation import ROWS, plan
from pipelines.studies.ablation_run import AblationRun, opened
from pipelines.studies.ablation_table import summarise, table

SMALL = [
    "batch=1",
    "warm_up=1",
    "network.embedding=32",
    "sample.crop_hw=[96, 128]",
    'validation=["held-out"]',
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bright square that moves over noise, in two sequences, one of them held out."""
    root = tmp_path_factory.mktemp("davis")
    rng = np.random.default_rng(0)
    for name in ("one", "held-out"):
        images, masks = root / "JPEGImages" / name, root / "Annotations" / name
        images.mkdir(parents=True), masks.mkdir(parents=True)
        ground = rng.integers(0, 90, (120, 160, 3), dtype=np.uint8)
        for t in range(4):
            frame, mask = ground.copy(), np.zeros((120, 160), np.uint8)
            mask[30 + 3 * t : 70 + 3 * t, 40 + 4 * t : 90 + 4 * t] = 255
            frame[mask > 0] = (40, 180, 240)
            cv2.imwrite(str(images / f"{t:05d}.jpg"), frame)
            cv2.imwrite(str(masks / f"{t:05d}.png"), mask)
    return root


def words(data: Path, out: Path, *more: str) -> list[str]:
    settings = [word for item in SMALL for word in ("--set", item)]
    return [
        "study",
        "ablation",
        "--data",
        str(data),
        "--out",
        str(out),
        "--steps",
        "2",
        "--seeds",
        "3",
        *settings,
        *more,
    ]


def test_rows_are_trained_once_and_scored(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = words(data, tmp_path, "--rows", "none,lc+co+svb", "--json", str(tmp_path / "a.json"))
    assert cli.main([*given, "--parallel", "2", "--plot", str(tmp_path / "a.png")]) == 0
    first = capfd.readouterr().out
    assert "0 of 2 runs are done; 2 to go" in first and "over none" in first
    report = json.loads((tmp_path / "a.json").read_text())
    assert list(report["rows"]) == ["none", "lc+co+svb", "lc+co+svb, svb off at test"]
    assert [run["score"]["frames"] for run in report["runs"]] == [4, 4]
    networks = [run["settings"]["config"]["network"] for run in report["runs"]]
    assert [{k: n[k] for k in ("lc", "co", "svb")} for n in networks] == [ROWS["none"], ROWS["lc+co+svb"]]
    assert cv2.imread(str(tmp_path / "a.png")) is not None

    log = tmp_path / "lc+co+svb" / "seed-3" / "metrics.jsonl"
    stamp = log.stat().st_mtime_ns
    (tmp_path / "none" / "seed-3" / "report.json").unlink()
    assert cli.main(given) == 0
    second = capfd.readouterr().out
    assert "1 of 2 runs are done; 1 to go" in second and log.stat().st_mtime_ns == stamp
    again = json.loads((tmp_path / "a.json").read_text())
    assert again["rows"]["none"]["j_and_f"] == report["rows"]["none"]["j_and_f"]

    assert cli.main([*given, "--set", "batch=2"]) == 2
    assert "holds a run with other settings" in capfd.readouterr().err


def test_a_switch_changed_after_training_changes_what_the_network_sees(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Network(NetworkConfig(embedding=32))
    save_weights(network.state_dict(), network.config, tmp_path / "weights.safetensors")
    run = AblationRun("lc+co+svb", 0, {}, tmp_path, data, None, "cpu", 240)
    sequence = davis.open_sequence(data, "held-out")
    prompts = [MaskPrompt("1", 0, sequence.truth(0)[1])]
    states = []
    for switches in ({}, {}, {"svb": "off"}):
        segmenter = opened(run, tmp_path / "weights.safetensors", switches)
        assert segmenter.short_side == (240, 240)
        (second,) = [a for a in segmenter.segment(sequence.clip, prompts) if a.frame_index == 1]
        states.append(second.soft["1"])
    assert np.array_equal(states[0], states[1]) and not np.array_equal(states[0], states[2])


def options(**given: object) -> argparse.Namespace:
    defaults = {"rows": None, "seeds": "0,1", "steps": None, "overrides": [], "data": Path("d")}
    settings = {"out": Path("o"), "trunk": None, "short_side": 240, "config": None}
    return argparse.Namespace(**defaults, **(settings | given))


def test_every_row_comes_before_the_second_seed_and_differs_in_switches_only() -> None:
    runs = plan(options(), "cpu")
    assert [(run.seed, run.row) for run in runs] == [(seed, row) for seed in (0, 1) for row in ROWS]
    assert len({run.folder for run in runs}) == len(runs)
    for run in runs:
        assert run.config == {"seed": run.seed, "network": ROWS[run.row]}


def test_unknown_rows_and_seeds_are_refused() -> None:
    for bad, message in (({"rows": "lc,xy"}, "--rows xy: unknown"), ({"seeds": "a"}, "wants whole numbers")):
        given = options()
        vars(given).update(bad)
        with pytest.raises(BadInput, match=message):
            plan(given, "cpu")


def test_the_table_pairs_gains_by_seed() -> None:
    def report(row: str, seed: int, value: float) -> dict:
        return {"row": row, "seed": seed, "score": {"j": value, "f": value, "j_and_f": value}}

    summary = summarise(
        [report("none", 0, 50.0), report("lc", 0, 53.0), report("none", 1, 60.0), report("lc", 1, 64.0)]
    )
    assert summary["lc"]["j_and_f"]["mean"] == 58.5 and summary["lc"]["gain"]["mean"] == 3.5
    assert summary["lc"]["gain"]["sd"] == pytest.approx(0.707, abs=1e-3)
    assert "3.5 ± 0.7" in table(summary)
    alone = summarise([report("lc", 0, 53.0)])
    assert alone["lc"]["gain"] is None and alone["lc"]["j"]["sd"] is None
