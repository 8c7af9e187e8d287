"""``maskloop propagate``, ``evaluate`` and ``ingest`` as typed, with the shipped weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from backends.registry import Registry
from pipelines.media.palette import write_index_png
from tests.media import draw_frame, draw_mask, save_frames, save_mask, write_video

SIZE_HW = (120, 160)


def _heed_ctrl_c() -> None:
    """A shell that starts the tests in the background lets its children ignore Ctrl-C; ours must not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "MASKLOOP_DATA_DIR": str(folder / "data"), "MASKLOOP_THREADS": "1"},
        preexec_fn=_heed_ctrl_c,
    )


def run(folder: Path, *words: str) -> tuple[int, str, str]:
    process = start(folder, *words)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def test_propagate(tmp_path: Path) -> None:
    save_frames(tmp_path / "frames", 4, size_hw=SIZE_HW)
    write_index_png((tmp_path / "masks" / "00001.png"), draw_mask(1, SIZE_HW))
    code, out, err = run(tmp_path, "propagate", "--frames", "frames", "--masks", "masks", "--out", "out")
    assert code == 0, err
    version = Registry(tmp_path / "data" / "models").served("video_object").version
    assert out.startswith("4 masks in out, ") and version in out
    assert "4/4" in err, "no progress bar"
    report = json.loads((tmp_path / "out" / "propagate.json").read_text())
    assert report["version"] == version and report["complete"] and report["ms_per_frame"] > 0
    for frame in report["frames"]:
        assert set(frame["objects"]) == {"1", "2"}
        assert all(0 <= entry["confidence"] <= 1 for entry in frame["objects"].values())
        picture = Pillow.open(tmp_path / "out" / f"{frame['name']}.png")
        assert picture.mode == "P" and picture.size == (160, 120)
    assert (np.asarray(Pillow.open(tmp_path / "out" / "00001.png")) == draw_mask(1, SIZE_HW)).all()


def test_propagate_refuses_in_one_line(tmp_path: Path) -> None:
    save_frames(tmp_path / "frames", 2)
    save_mask(tmp_path / "masks" / "00000.png", np.zeros((48, 64), np.uint8))
    code, out, err = run(tmp_path, "propagate", "--frames", "frames", "--masks", "masks", "--out", "out")
    assert (code, out) == (2, "")
    assert err == "maskloop: masks/00000.png: the mask is empty; paint the object or take the file away\n"


def test_ctrl_c_ends_with_130_and_keeps_the_frames(tmp_path: Path) -> None:
    save_frames(tmp_path / "frames", 200, size_hw=(240, 320))
    write_index_png(tmp_path / "masks" / "00000.png", draw_mask(0, (240, 320)))
    process = start(tmp_path, "propagate", "--frames", "frames", "--masks", "masks", "--out", "out")
    ends = time.monotonic() + 240
    while len(list((tmp_path / "out").glob("0*.png"))) < 2:
        assert process.poll() is None and time.monotonic() < ends, "no frames came"
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.rstrip().endswith("maskloop: stopped; what was finished is kept") and "Traceback" not in err
    report = json.loads((tmp_path / "out" / "propagate.json").read_text())
    written = sorted(path.stem for path in (tmp_path / "out").glob("*.png"))
    assert 2 <= len(written) < 200 and not report["complete"]
    assert [frame["name"] for frame in report["frames"]] == written


def test_evaluate(tmp_path: Path) -> None:
    save_frames(tmp_path / "davis" / "JPEGImages" / "walk", 4, size_hw=SIZE_HW)
    for number in range(4):
        (tmp_path / "davis" / "Annotations" / "walk").mkdir(parents=True, exist_ok=True)
        write_index_png(
            tmp_path / "davis" / "Annotations" / "walk" / f"{number:05d}.png", draw_mask(number, SIZE_HW)
        )
    words = ["evaluate", "video_object", "--data", "davis", "--sequences", "walk", "--json", "s/scores.json"]
    code, out, err = run(tmp_path, *words)
    assert code == 0, err
    report = json.loads((tmp_path / "s" / "scores.json").read_text())
    assert {"j", "f", "j_and_f", "ms_per_frame", "per_sequence"} <= set(report)
    assert report["j_and_f"] == pytest.approx((report["j"] + report["f"]) / 2, abs=1e-3)
    assert 0 <= report["j"] <= 100
    assert "walk" in out and f"{report['j_and_f']:.1f}" in out


def test_ingest(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", [draw_frame(i) for i in range(60)])
    code, out, err = run(tmp_path, "ingest", "v.mp4", "--tasks", "tasks.json")
    assert code == 0, err
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert [len(task["data"]["frames"]) for task in tasks] == [50, 11]
    assert [task["data"]["start"] for task in tasks] == [0, 49]
    for task in tasks:
        assert task["data"]["clip"] in out
        for reference in task["data"]["frames"]:
            assert (tmp_path / "data" / "media" / reference.split("?d=")[1]).is_file()
    assert "60frame" in err or "60/" in err, "no progress bar"
    assert run(tmp_path, "ingest", "nowhere.mp4")[::2] == (
        2,
        "maskloop: nowhere.mp4: no such file or folder\n",
    )
