"""A folder as a clip."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from backends.core.errors import BadMedia
from backends.core.frames import FolderFrames, clip_from_folder, frame_paths
from tests.media import draw_frame, save_frames


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_folder_is_a_clip(tmp_path: Path, suffix: str) -> None:
    save_frames(tmp_path / "dog", 4, suffix=suffix)
    clip = clip_from_folder(tmp_path / "dog")
    assert (clip.clip_id, len(clip), clip.size_hw) == ("dog", 4, (48, 64))
    assert clip.names == ("00000", "00001", "00002", "00003")
    for number in range(4):
        assert np.abs(clip.frames[number].astype(int) - draw_frame(number)).mean() < 4
    assert clip.part(1, 3).frames[0] is clip.frames[1]


def test_numbers_count_as_numbers(tmp_path: Path) -> None:
    for name in ("f10.png", "f9.png", "f1.png", "f010.png"):
        save_frames(tmp_path / "x", 1, suffix=".png")[0].replace(tmp_path / name)
    assert [p.name for p in frame_paths(tmp_path)] == ["f1.png", "f9.png", "f010.png", "f10.png"]


def test_other_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    save_frames(tmp_path, 2)
    for name in ("notes.txt", "._00000.jpg", "frames.json"):
        (tmp_path / name).write_text("x")
    (tmp_path / "folder.jpg").mkdir()
    assert len(clip_from_folder(tmp_path)) == 2


def test_first_odd_frame_is_named(tmp_path: Path) -> None:
    save_frames(tmp_path, 5)
    save_frames(tmp_path / "other", 5, size_hw=(48, 66))
    for number in (3, 4):
        (tmp_path / "other" / f"{number:05d}.jpg").replace(tmp_path / f"{number:05d}.jpg")
    with pytest.raises(BadMedia, match=r"00003\.jpg: 66x48 pixels, but 00000\.jpg has 64x48"):
        clip_from_folder(tmp_path)


def test_unusable_folders(tmp_path: Path) -> None:
    with pytest.raises(BadMedia, match="no such folder"):
        clip_from_folder(tmp_path / "nowhere")
    with pytest.raises(BadMedia, match="no frames in it"):
        clip_from_folder(tmp_path)
    save_frames(tmp_path, 1, suffix=".jpg")
    save_frames(tmp_path, 1, suffix=".png")
    with pytest.raises(BadMedia, match=r"00000\.(jpg|png) and 00000\.(jpg|png) are the same frame twice"):
        clip_from_folder(tmp_path)
    with pytest.raises(BadMedia, match="no frames"):
        FolderFrames([])


def test_frame_that_vanishes_or_changes_is_named_when_read(tmp_path: Path) -> None:
    paths = save_frames(tmp_path, 3)
    clip = clip_from_folder(tmp_path)
    paths[1].unlink()
    save_frames(tmp_path / "other", 3, size_hw=(20, 20))[2].replace(paths[2])
    assert clip.frames[0].shape == (48, 64, 3)
    with pytest.raises(BadMedia, match=r"00001\.jpg: no such file"):
        clip.frames[1]
    with pytest.raises(BadMedia, match=r"00002\.jpg: 20x20 pixels"):
        clip.frames[2]


def test_few_frames_are_kept_and_none_can_be_written_on(tmp_path: Path) -> None:
    frames = FolderFrames(save_frames(tmp_path, 12))
    first = frames[0]
    assert frames[0] is first and not first.flags.writeable
    for number in range(12):
        frames[number]
    assert frames[0] is not first
    with pytest.raises(IndexError):
        frames[12]
    with pytest.raises(IndexError):
        frames[-1]


def test_many_threads_read_the_same_pictures(tmp_path: Path) -> None:
    frames = FolderFrames(save_frames(tmp_path, 12, suffix=".png"))
    wrong: list[int] = []

    def read(start: int) -> None:
        for step in range(60):
            number = (start + 5 * step) % 12
            if not (frames[number] == draw_frame(number)).all():
                wrong.append(number)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
