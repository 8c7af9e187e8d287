"""Training clicks on drawn data: it learns, survives kill -9 with the same result, and its study counts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from backends.core.errors import BadInput
from pipelines import cli
from pipelines.train import train

FRAME = (120, 200)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sequences of a bright square that moves over noise, and one that is held out."""
    root = tmp_path_factory.mktemp("davis")
    rng = np.random.default_rng(0)
    for name in ("one", "two", "held-out"):
        images, masks = root / "JPEGImages" / name, root / "Annotations" / name
        images.mkdir(parents=True), masks.mkdir(parents=True)
        ground = rng.integers(0, 90, (*FRAME, 3), dtype=np.uint8)
        for t in range(4):
            frame, mask = ground.copy(), np.zeros(FRAME, np.uint8)
            mask[30 + 3 * t : 80 + 3 * t, 40 + 4 * t : 100 + 4 * t] = 255
            frame[mask > 0] = (40, 180, 240)
            cv2.imwrite(str(images / f"{t:05d}.jpg"), frame)
            cv2.imwrite(str(masks / f"{t:05d}.png"), mask)
    return root


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    (root / "images").mkdir(), (root / "masks").mkdir()
    rng = np.random.default_rng(1)
    for number in range(3):
        mask = np.zeros((160, 120), np.uint8)
        mask[40:80, 40:80], mask[80:120, 40:80] = 3, 7
        picture = rng.integers(0, 90, (160, 120, 3), dtype=np.uint8)
        picture[mask > 0] = (90, 220, 90)
        cv2.imwrite(str(root / "images" / f"{number:04d}.png"), picture)
        cv2.imwrite(str(root / "masks" / f"{number:04d}.png"), mask)
    return root


SETTINGS = [
    "batch=2",
    "warm_up=2",
    "checkpoint_every=3",
    "every=1",
    "sample.crop_hw=[64, 96]",
    'photos_until="0001"',
    'held_out=["held-out"]',
]


def lines(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_killed_run_goes_on_to_the_same_weights(data: Path, photos: Path, tmp_path: Path) -> None:
    settings = [*SETTINGS, "steps=9", "amp=false"]
    whole = train("clicks", data=data, out=tmp_path / "whole", overrides=settings, stills=photos)

    killed = tmp_path / "killed"
    script = (
        "from pathlib import Path; from pipelines.train import train; "
        f"train('clicks', data=Path({str(data)!r}), out=Path({str(killed)!r}), overrides={settings!r}, "
        f"stills=Path({str(photos)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    log = killed / "metrics.jsonl"
    while not log.is_file() or len(log.read_text().splitlines()) < 4:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (killed / "weights.safetensors").exists()

    resumed = train("clicks", data=data, out=killed, overrides=settings, stills=photos)
    assert [line["step"] for line in lines(killed)] == list(range(1, 10))
    one, other = load_file(whole), load_file(resumed)
    for name in one:
        assert torch.allclose(one[name].float(), other[name].float(), atol=2e-3), name
    card = json.loads((killed / "card.json").read_text())
    assert card["sequences"] == ["one", "two"] and card["photos"] == 2 and card["seconds"] >= 0


def test_a_short_run_learns_and_the_study_counts_its_clicks(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["steps=60", "learning_rate=0.003", "trunk_rate=0.002", "average=0.9", "sample.paste=0"]
    weights = train("clicks", data=data, out=tmp_path / "run", overrides=[*SETTINGS, *quick])
    losses = [line["loss"] for line in lines(tmp_path / "run")]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])

    monkeypatch.setenv("MASKLOOP_DATA_DIR", str(tmp_path / "house"))
    counts, picture = tmp_path / "clicks.json", tmp_path / "clicks.png"
    words = [
        "study",
        "clicks",
        "--data",
        str(data),
        "--sequences",
        "held-out",
        "--every",
        "3",
        "--clicks",
        "4",
    ]
    words += ["--weights", str(weights), "--threads", "1", "--json", str(counts), "--plot", str(picture)]
    assert cli.main(words) == 0
    report = json.loads(counts.read_text())
    assert report["objects"] == 2 and set(report["methods"]) == {"learned", "grabcut"}
    for method in report["methods"].values():
        assert 1 <= method["noc85"] <= method["noc90"] <= 4 and 1 <= len(method["curve"]) <= 4
        assert 0 <= method["curve"][0] <= 1 and method["first_click_ms"] > 0
    assert report["methods"]["grabcut"]["curve"][-1] > 0.8, "a bright square on a dark ground"
    assert picture.stat().st_size > 5000 and "NoC@85" in capsys.readouterr().out


def test_a_folder_of_another_run_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BadInput, match="other settings"):
        train("clicks", data=data, out=tmp_path, overrides=[*SETTINGS, "steps=1"])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [(["stepps=1"], "unknown training setting 'stepps'"), (["sample.crop=1"], "sample.'crop'")],
)
def test_unknown_settings_are_refused(data: Path, tmp_path: Path, overrides: list[str], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        train("clicks", data=data, out=tmp_path, overrides=overrides)
