"""Training on a drawn data set: it learns, survives kill -9 with the same result, and refuses nonsense."""

import json
import signal
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
from backends.core.types import Clip, MaskPrompt
from backends.video_object.segmenter import load
from pipelines.train import read_config, train

SETTINGS = [
    "batch=1",
    "checkpoint_every=3",
    "warm_up=2",
    "network.embedding=32",
    "sample.crop_hw=[128, 160]",
    'validation=["held-out"]',
]


QUICK = ["steps=90", "batch=2", "average=0.9", "learning_rate=0.002", "trunk_rate=0.002", "sample.paste=0"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Two sequences of a bright square that moves over noise, and one that is held out."""
    root = tmp_path_factory.mktemp("davis")
    rng = np.random.default_rng(0)
    for name in ("one", "two", "held-out"):
        images, masks = root / "JPEGImages" / name, root / "Annotations" / name
        images.mkdir(parents=True), masks.mkdir(parents=True)
        ground = rng.integers(0, 90, (240, 320, 3), dtype=np.uint8)
        for t in range(6):
            frame, mask = ground.copy(), np.zeros((240, 320), np.uint8)
            mask[60 + 5 * t : 140 + 5 * t, 80 + 8 * t : 180 + 8 * t] = 255
            frame[mask > 0] = (40, 180, 240)
            cv2.imwrite(str(images / f"{t:05d}.jpg"), frame)
            cv2.imwrite(str(masks / f"{t:05d}.png"), mask)
    return root


def steps(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_killed_run_goes_on_to_the_same_weights(data, tmp_path):
    settings = [*SETTINGS, "steps=10", "amp=false"]
    whole = train("video_object", data=data, out=tmp_path / "whole", overrides=settings)

    killed = tmp_path / "killed"
    script = (
        "from pathlib import Path; from pipelines.train import train; "
        f"train('video_object', data=Path({str(data)!r}), out=Path({str(killed)!r}), overrides={settings!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while (
        not (killed / "metrics.jsonl").is_file()
        or len((killed / "metrics.jsonl").read_text().splitlines()) < 4
    ):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "weights.safetensors").exists()

    resumed = train("video_object", data=data, out=killed, overrides=settings)
    assert [s["step"] for s in steps(killed)] == list(range(1, 11))
    one, other = load_file(whole), load_file(resumed)
    for name in one:
        assert torch.allclose(one[name].float(), other[name].float(), atol=2e-3), name
    card = json.loads((killed / "card.json").read_text())
    assert card["sequences"] == ["one", "two"] and card["config"]["seed"] == 0 and card["seconds"] >= 0


def test_a_short_run_learns_a_moving_square(data, tmp_path):
    weights = train("video_object", data=data, out=tmp_path, overrides=[*SETTINGS, *QUICK])
    losses = [s["loss"] for s in steps(tmp_path)]
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])

    folder = data / "JPEGImages" / "held-out"
    frames = [cv2.imread(str(p))[..., ::-1].copy() for p in sorted(folder.iterdir())]
    truth = [cv2.imread(str(p), 0) > 0 for p in sorted((data / "Annotations" / "held-out").iterdir())]
    clip = Clip("held-out", frames, (240, 320), tuple(map(str, range(6))))
    answers = {
        a.frame_index: a.masks["square"]
        for a in load(weights).segment(clip, [MaskPrompt("square", 0, truth[0])])
    }
    overlap = (answers[5] & truth[5]).sum() / (answers[5] | truth[5]).sum()
    still = (truth[0] & truth[5]).sum() / (truth[0] | truth[5]).sum()
    assert overlap > max(0.6, still), f"IoU {overlap:.2f}; a mask that stays put has {still:.2f}"


def test_nonsense_is_refused_by_name(data, tmp_path):
    with pytest.raises(BadInput, match="'stepz'"):
        train("video_object", data=data, out=tmp_path / "a", overrides=["stepz=3"])
    with pytest.raises(BadInput, match="wants KEY=VALUE"):
        read_config(None, ["steps"])
    with pytest.raises(BadInput, match="no JPEGImages folder"):
        train("video_object", data=tmp_path, out=tmp_path / "b", overrides=["steps=1"])
    with pytest.raises(BadInput, match="trainable: video_object"):
        train("telepathy", data=data, out=tmp_path / "c")
    train("video_object", data=data, out=tmp_path / "d", overrides=[*SETTINGS, "steps=1"])
    with pytest.raises(BadInput, match="other settings"):
        train("video_object", data=data, out=tmp_path / "d", overrides=[*SETTINGS, "steps=2"])
