"""Two processes train to what one process trains to, and so do two of which one was killed on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file

from backends.core.errors import BadInput
from backends.training import distributed
from backends.video_object.network import Network
from backends.video_object.recipe import config_from
from pipelines.train import read_config, train

SETTINGS = [
    "steps=5",
    "batch=2",
    "checkpoint_every=2",
    "warm_up=2",
    "learning_rate=0.00005",
    "trunk_rate=0.00005",
    "amp=false",
    "network.embedding=32",
    "sample.crop_hw=[96, 128]",
    "sample.paste=0.5",
]
DEADLINE_S = 240


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Two short sequences of a bright square that moves over noise."""
    root = tmp_path_factory.mktemp("davis")
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        images, masks = root / "JPEGImages" / name, root / "Annotations" / name
        images.mkdir(parents=True), masks.mkdir(parents=True)
        ground = rng.integers(0, 90, (160, 200, 3), dtype=np.uint8)
        for t in range(5):
            frame, mask = ground.copy(), np.zeros((160, 200), np.uint8)
            mask[40 + 5 * t : 90 + 5 * t, 50 + 8 * t : 110 + 8 * t] = 255
            frame[mask > 0] = (40, 180, 240)
            cv2.imwrite(str(images / f"{t:05d}.jpg"), frame)
            cv2.imwrite(str(masks / f"{t:05d}.png"), mask)
    return root


@contextmanager
def two_processes(data: Path, out: Path):
    """``torchrun`` with two processes that talk over loopback; whatever is left of them is ended."""
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "pipelines.cli", "train", "video_object", "--data", str(data), "--out", str(out)]
    env = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(
        [*command, *settings], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield run
    finally:
        if run.poll() is None:
            for child in (*psutil.Process(run.pid).children(recursive=True), run):
                child.kill()
        run.communicate()


def steps(run: Path) -> list[dict]:
    path = run / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def network_of(run: Path) -> dict[str, torch.Tensor]:
    tensors = load_file(run / "checkpoint.safetensors")
    return {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return sum(float((one[k] - other[k]).double().square().sum()) for k in one) ** 0.5


def test_two_processes_one_of_them_killed_train_what_one_does(data, tmp_path):
    train("video_object", data=data, out=tmp_path / "alone", overrides=SETTINGS)

    both = tmp_path / "both"
    with two_processes(data, both) as run:
        deadline = time.monotonic() + DEADLINE_S
        while len(steps(both)) < 3:
            assert run.poll() is None and time.monotonic() < deadline, run.stdout.read()
            time.sleep(0.01)
        workers = psutil.Process(run.pid).children()
        assert len(workers) == 2
        workers[1].send_signal(signal.SIGKILL)
        output, _ = run.communicate(timeout=DEADLINE_S)
    assert run.returncode != 0, output
    assert not (both / "weights.safetensors").exists()
    if find_spec("matplotlib"):
        assert cv2.imread(str(both / "curves.png")) is not None, "drawn at every checkpoint"

    with two_processes(data, both) as run:
        output, _ = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == 0, output
    assert output.count("weights: ") == 1, "only the first process reports"

    for one, two in zip(steps(tmp_path / "alone"), steps(both), strict=True):
        assert one["step"] == two["step"]
        for name in ("loss", "first", "last", "gradient", "rate", "trunk_rate"):
            assert two[name] == pytest.approx(one[name], rel=5e-3), (one["step"], name)
    alone, together = network_of(tmp_path / "alone"), network_of(both)
    torch.manual_seed(0)
    start = Network(config_from(read_config(None, SETTINGS)).network).state_dict()
    assert distance(alone, together) < 0.02 * distance(alone, start)
    for name, value in alone.items():
        assert torch.allclose(together[name], value, atol=1e-4), name
    assert json.loads((both / "card.json").read_text())["processes"] == 2


def test_one_process_shares_with_nobody():
    assert distributed.leads() and distributed.size() == 1
    assert distributed.share(5) == range(5)
    assert float(distributed.count(torch.tensor([2.0, 3.0]))) == 5
    assert float(distributed.count(torch.zeros(3))) == 1
    assert distributed.average({"loss": torch.tensor(0.5)}) == {"loss": 0.5}
    with distributed.joined("cuda:1") as device:
        assert device == "cuda:1"


def test_a_batch_that_cannot_be_split_is_refused(monkeypatch):
    monkeypatch.setattr(distributed, "size", lambda: 2)
    with pytest.raises(BadInput, match="a batch of 3 cannot be split evenly over 2 processes"):
        distributed.share(3)
