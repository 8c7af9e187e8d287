"""Folders and videos become clips and task data."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.core.errors import SetupFault
from backends.core.frames import clip_from_folder, open_image
from backends.core.types import Image
from backends.settings import Settings
from pipelines import ingest as ingest_module
from pipelines.ingest import IngestedClip, ingest
from pipelines.media.clip_folder import fitted_size
from tests.media import draw_frame, save_frames, write_video


def settings_for(tmp_path: Path, **changes: Any) -> Settings:
    return Settings(data_dir=tmp_path / "data", media_root=tmp_path / "media", **changes)


def told(clip: IngestedClip) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((clip.folder / "frames.json").read_text())
    return value


def likeness(path: Path, image: Image) -> float:
    return float(np.abs(open_image(path).astype(int) - image).mean())


def test_folder_becomes_one_clip(tmp_path: Path) -> None:
    save_frames(tmp_path / "My Dog", 5, suffix=".png")
    settings = settings_for(tmp_path)
    (clip,) = ingest(tmp_path / "My Dog", settings)
    assert clip.clip_id.startswith("my-dog-") and clip.n_frames == 5 and clip.size_hw == (48, 64)
    assert clip.task_data == {
        "frames": [f"/data/local-files/?d=clips/{clip.clip_id}/{i:05d}.jpg" for i in range(5)],
        "clip": clip.clip_id,
        "start": 0,
        "fps": None,
        "source": "My Dog",
        "overlap": 1,
    }
    for number, reference in enumerate(clip.task_data["frames"]):
        path = settings.media_root / reference.split("?d=")[1]
        assert likeness(path, draw_frame(number)) < 3
    rows = told(clip)["frames"]
    assert [(row["source_frame"], row["source_name"]) for row in rows] == [
        (i, f"{i:05d}.png") for i in range(5)
    ]
    assert rows[2]["sha256"] == hashlib.sha256((clip.folder / "00002.jpg").read_bytes()).hexdigest()
    assert len(clip_from_folder(clip.folder)) == 5


@pytest.mark.parametrize(("count", "lengths"), [(4, [4]), (5, [4, 2]), (7, [4, 4]), (8, [4, 4, 2])])
def test_long_sources_are_cut_with_one_frame_of_overlap(
    tmp_path: Path, count: int, lengths: list[int]
) -> None:
    save_frames(tmp_path / "long", count, suffix=".png")
    clips = ingest(tmp_path / "long", settings_for(tmp_path, max_clip_frames=4))
    assert [clip.n_frames for clip in clips] == lengths
    assert [clip.task_data["start"] for clip in clips] == [3 * i for i in range(len(lengths))]
    numbers = [[row["source_frame"] for row in told(clip)["frames"]] for clip in clips]
    assert sorted({n for part in numbers for n in part}) == list(range(count))
    for before, after in pairwise(clips):
        last, first = sorted(before.folder.glob("*.jpg"))[-1], after.folder / "00000.jpg"
        assert last.read_bytes() == first.read_bytes()


@pytest.mark.parametrize(
    ("size_hw", "limit", "wanted"),
    [
        ((480, 854), 854, (480, 854)),
        ((1080, 1920), 854, (480, 854)),
        ((1920, 1080), 854, (854, 480)),
        ((479, 853), 854, (478, 852)),
        ((2160, 3840), 855, (480, 854)),
        ((1, 3000), 854, (2, 854)),
    ],
)
def test_sizes_fit_and_are_even(size_hw: tuple[int, int], limit: int, wanted: tuple[int, int]) -> None:
    assert fitted_size(size_hw, limit) == wanted


def test_large_frames_are_scaled(tmp_path: Path) -> None:
    save_frames(tmp_path / "big", 2, size_hw=(95, 201))
    (clip,) = ingest(tmp_path / "big", settings_for(tmp_path, max_side_px=100))
    assert clip.size_hw == (46, 100)
    assert told(clip)["source_size_hw"] == [95, 201]
    assert open_image(clip.folder / "00001.jpg").shape == (46, 100, 3)


def test_video_keeps_its_real_times(tmp_path: Path) -> None:
    times_ms = [0, 40, 80, 500, 520, 2000, 2010, 3000]
    path = write_video(tmp_path / "vfr.mkv", [draw_frame(i) for i in range(8)], times_ms=times_ms)
    (clip,) = ingest(path, settings_for(tmp_path))
    rows = told(clip)["frames"]
    assert [round(1000 * row["pts_s"]) for row in rows] == times_ms
    assert clip.task_data["fps"] == round(7 / 3.0, 3)
    assert clip.notes == ()
    for number in range(8):  # the frames themselves, none doubled to fill the gaps
        assert likeness(clip.folder / f"{number:05d}.jpg", draw_frame(number)) < 6


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
def test_containers(tmp_path: Path, suffix: str) -> None:
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    path = write_video(tmp_path / f"clip{suffix}", [draw_frame(i) for i in range(6)], codec=codec)
    (clip,) = ingest(path, settings_for(tmp_path))
    assert clip.n_frames == 6 and clip.task_data["source"] == f"clip{suffix}"
    assert clip.task_data["fps"] == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_rotated_video_stands_upright(tmp_path: Path, turns: int, mirrored: bool) -> None:
    path = write_video(
        tmp_path / "phone.mp4", [draw_frame(0)] * 2, rotation_deg=90 * turns, mirrored=mirrored
    )
    (clip,) = ingest(path, settings_for(tmp_path))
    wanted = np.rot90(draw_frame(0), turns)
    wanted = wanted[:, ::-1] if mirrored else wanted
    assert clip.size_hw == wanted.shape[:2]
    assert likeness(clip.folder / "00001.jpg", wanted) < 6


def test_same_source_again_costs_nothing_and_changes_nothing(tmp_path: Path) -> None:
    save_frames(tmp_path / "a", 9)
    settings = settings_for(tmp_path, max_clip_frames=4)
    first = ingest(tmp_path / "a", settings)
    stamps = {p: p.stat().st_mtime_ns for clip in first for p in clip.folder.iterdir()}
    (tmp_path / "a").rename(tmp_path / "a2")
    (tmp_path / "a2").rename(tmp_path / "a")
    assert ingest(tmp_path / "a", settings) == first
    assert stamps == {p: p.stat().st_mtime_ns for clip in first for p in clip.folder.iterdir()}


def test_other_content_or_settings_give_other_clips(tmp_path: Path) -> None:
    paths = save_frames(tmp_path / "a", 3)
    (first,) = ingest(tmp_path / "a", settings_for(tmp_path))
    (smaller,) = ingest(tmp_path / "a", settings_for(tmp_path, max_side_px=32))
    save_frames(tmp_path / "b", 4)[3].replace(paths[0])
    (changed,) = ingest(tmp_path / "a", settings_for(tmp_path))
    assert len({first.clip_id, smaller.clip_id, changed.clip_id}) == 3
    assert all(clip.folder.is_dir() for clip in (first, smaller, changed))


def test_vanished_clip_or_frame_is_made_again(tmp_path: Path) -> None:
    save_frames(tmp_path / "a", 9)
    settings = settings_for(tmp_path, max_clip_frames=4)
    first = ingest(tmp_path / "a", settings)
    kept = (first[0].folder / "00001.jpg").stat().st_mtime_ns
    for path in first[1].folder.iterdir():
        path.unlink()
    first[1].folder.rmdir()
    (first[2].folder / "00001.jpg").unlink()
    assert ingest(tmp_path / "a", settings) == first
    assert (first[0].folder / "00001.jpg").stat().st_mtime_ns == kept
    assert all(len(list(clip.folder.glob("*.jpg"))) == clip.n_frames for clip in first)


def test_killed_run_leaves_no_half_clip_and_is_gone_on_with(tmp_path: Path) -> None:
    save_frames(tmp_path / "a", 60, suffix=".png", size_hw=(480, 854))
    settings = settings_for(tmp_path, max_clip_frames=6)
    script = (
        "import sys; from pathlib import Path; from backends.settings import Settings\n"
        "from pipelines.ingest import ingest\n"
        "root = Path(sys.argv[1])\n"
        "ingest(root / 'a', Settings(media_root=root / 'media', max_clip_frames=6))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    home = settings.media_root / "clips"
    ends = time.monotonic() + 60
    while len(list(home.glob("a-*-0*"))) < 2 and child.poll() is None:
        assert time.monotonic() < ends, "no clip came"
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    whole = [folder for folder in home.glob("a-*-0*") if folder.is_dir()]
    assert whole and all((folder / "frames.json").is_file() for folder in whole)
    stamps = {p: p.stat().st_mtime_ns for folder in whole for p in folder.iterdir()}
    clips = ingest(tmp_path / "a", settings)
    assert sum(clip.n_frames for clip in clips) == 60 + len(clips) - 1
    assert stamps == {p: p.stat().st_mtime_ns for p in stamps}, "finished clips were written again"
    assert list(home.glob(".partial-*")) == []


def test_full_disk_is_told_before_frames_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_frames(tmp_path / "a", 3)
    usage = type("Usage", (), {"free": 10_000_000})
    monkeypatch.setattr(ingest_module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(SetupFault, match=r"disk is full.*10 MB free.*MASKLOOP_MEDIA_ROOT"):
        ingest(tmp_path / "a", settings_for(tmp_path))
    assert [p for p in (tmp_path / "media" / "clips").iterdir() if p.is_dir()] == []


def test_media_folder_that_cannot_be_written(tmp_path: Path) -> None:
    save_frames(tmp_path / "a", 3)
    (tmp_path / "media").write_text("a file, no folder")
    with pytest.raises(SetupFault, match=r"cannot be written.*MASKLOOP_MEDIA_ROOT"):
        ingest(tmp_path / "a", settings_for(tmp_path))
    with pytest.raises(SetupFault, match="MASKLOOP_MAX_CLIP_FRAMES"):
        ingest(tmp_path / "a", settings_for(tmp_path, max_clip_frames=1))
