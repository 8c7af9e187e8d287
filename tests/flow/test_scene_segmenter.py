"""The room's face with real weights: classes as masks, a broken frame, and going on in the middle."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from backends.catalogue import ALGORITHMS
from backends.core.errors import BadMedia
from backends.core.frames import FolderFrames
from backends.core.types import Clip, FrameMasks
from backends.settings import from_env
from backends.video_semantic.loaders.camvid import CLASSES
from pipelines.scene_masks import SceneModel, rest_of, scene_segmenter
from pipelines.stopwatch import Stopwatch
from tests.knowing_scene import write_knowing_scene
from tests.unit.video_semantic.footage import ROAD, SIZE, SKY, picture

N = 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SceneModel:
    path = tmp_path_factory.mktemp("knowing") / "weights.safetensors"
    write_knowing_scene(path, [picture(8 + 6 * i) for i in range(6)], CLASSES)
    loaded = ALGORITHMS["video_semantic"].load(path, from_env({}), "video_semantic-00000000")
    return scene_segmenter(loaded)


def clip(folder: Path) -> Clip:
    paths = [folder / f"{number}.png" for number in range(N)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), picture(8 + 3 * number)[0][..., ::-1])
    return Clip("drive", FolderFrames(paths, size_hw=SIZE), SIZE, tuple(path.stem for path in paths))


def same(one: FrameMasks, other: FrameMasks) -> bool:
    return one.masks.keys() == other.masks.keys() and all(
        np.array_equal(mask, other.masks[name]) for name, mask in one.masks.items()
    )


def test_each_frame_is_covered_once_and_a_run_goes_on_in_the_middle(
    model: SceneModel, tmp_path: Path
) -> None:
    drive = clip(tmp_path)
    whole = list(model.segment(drive, ()))
    assert [frame.frame_index for frame in whole] == list(range(N))
    for number, frame in enumerate(whole):
        assert (sum(mask.astype(int) for mask in frame.masks.values()) == 1).all()
        assert all(mask.any() and 0 < frame.confidence[name] <= 1 for name, mask in frame.masks.items())
        ids = picture(8 + 3 * number)[1]
        for name, number_of in (("sky", SKY), ("road", ROAD)):
            assert (frame.masks[name] & (ids == number_of)).sum() > 0.6 * (ids == number_of).sum()
    rest = list(rest_of(Stopwatch(), model, drive, 4))
    assert [frame.frame_index for frame in rest] == [4, 5]
    assert all(same(frame, whole[frame.frame_index]) for frame in rest)


def test_a_broken_frame_is_named_and_the_others_go_on(model: SceneModel, tmp_path: Path) -> None:
    drive = clip(tmp_path)
    (tmp_path / "2.png").write_bytes(b"no picture")
    frames = list(model.segment(drive, ()))
    assert len(frames) == N and frames[2].masks == {}
    assert "page 3 has no masks" in frames[2].notes[0] and "2.png" in frames[2].notes[0]
    assert all(frame.masks and not frame.notes for frame in frames if frame.frame_index != 2)
    for path in tmp_path.iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(BadMedia, match="none of 6 frames"):
        list(model.segment(clip_again(tmp_path), ()))


def clip_again(folder: Path) -> Clip:
    paths = [folder / f"{number}.png" for number in range(N)]
    return Clip("drive", FolderFrames(paths, size_hw=SIZE), SIZE, tuple(path.stem for path in paths))
