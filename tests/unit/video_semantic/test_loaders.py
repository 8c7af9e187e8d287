"""Folders of footage: what is found in each layout, and what is refused with which words."""

import json

import cv2
import numpy as np
import pytest

from backends.core.errors import BadInput, BadMask
from backends.video_semantic.loaders import open_scenes
from backends.video_semantic.loaders.cityscapes import TRAIN_IDS
from backends.video_semantic.scenes import IGNORE, tail, without_tail
from tests.unit.video_semantic import footage


def grey(path, value, size_hw=(8, 12)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full(size_hw, value, np.uint8))


def test_camvid_is_cut_where_the_numbers_jump(tmp_path):
    names = ["A_00030", "A_00060", "A_00091", "A_00300", "B_f00330"]
    footage.write(tmp_path, "train", names)
    scenes = open_scenes(tmp_path, "train")
    assert [len(part.frames) for part in scenes.footage] == [3, 1, 1]
    assert [part.rate_hz for part in scenes.footage] == pytest.approx([1.0, 0.0, 0.0], abs=0.02)
    assert len(scenes.classes) == 11 and scenes.classes[8] == "car"
    labels = scenes.labels(0, 0)
    assert set(np.unique(labels)) == {footage.SKY, footage.ROAD, footage.CAR, IGNORE}
    assert scenes.image(0, 1).shape == (*footage.SIZE, 3)


def test_camvid_at_15_hz(tmp_path):
    scenes = open_scenes(footage.camvid(tmp_path), "val")
    assert [part.rate_hz for part in scenes.footage] == [15.0]
    assert len(scenes.labelled()) == 6


def test_raw_frames_fill_the_gaps_of_camvid(tmp_path):
    footage.write(tmp_path, "train", ["A_00030", "A_00036"])
    for number in (*range(20, 40), 900):
        grey(tmp_path / "raw" / f"A_{number:05d}.png", 7, footage.SIZE)
    grey(tmp_path / "raw" / "Z_00030.png", 7, footage.SIZE)
    [part] = open_scenes(tmp_path, "train").footage
    assert part.rate_hz == 30.0
    assert [path.stem[-2:] for path in part.frames] == [str(n) for n in range(20, 37)]
    assert sorted(part.labels) == [10, 16]  # the split's own frames are taken where both exist
    assert part.frames[10].parent.name == "train" and part.frames[11].parent.name == "raw"


def test_cityscapes_finds_the_snippet_about_its_labelled_frame(tmp_path):
    stem = "ulm_000003_000019"
    grey(tmp_path / "gtFine/train/ulm" / f"{stem}_gtFine_labelIds.png", TRAIN_IDS["car"])
    frames = tmp_path / "leftImg8bit_sequence/train/ulm"
    for number in (*range(12, 23), 40):
        grey(frames / f"ulm_000003_{number:06d}_leftImg8bit.png", 50)
    scenes = open_scenes(tmp_path, "train")
    [part] = scenes.footage
    assert [path.name[11:17] for path in part.frames] == [f"{n:06d}" for n in range(12, 23)]
    assert list(part.labels) == [7] and part.rate_hz == 17.0
    assert np.unique(scenes.labels(0, 7)).tolist() == [list(TRAIN_IDS).index("car")]


def test_cityscapes_does_with_single_frames(tmp_path):
    stem = "ulm_000003_000019"
    grey(tmp_path / "gtFine/val/ulm" / f"{stem}_gtFine_labelIds.png", 0)
    with pytest.raises(BadInput, match="no frame ulm_000003_000019"):
        open_scenes(tmp_path, "val")
    grey(tmp_path / "leftImg8bit/val/ulm" / f"{stem}_leftImg8bit.png", 50)
    scenes = open_scenes(tmp_path, "val")
    assert scenes.footage[0].rate_hz == 0.0
    assert np.unique(scenes.labels(0, 0)).tolist() == [IGNORE]  # "unlabeled" is none of the 19


def snapshot(root, classes):
    (root / "frames/day").mkdir(parents=True)
    for number in range(3):
        grey(root / f"frames/day/{number}.png", 90)
        grey(root / f"frames/night/{number}.png", 20)
    grey(root / "masks/day/1.png", 1)
    grey(root / "masks/night/2.png", 0)
    (root / "classes.json").write_text(json.dumps(classes))
    return root


def test_a_snapshot_keeps_whole_clips_for_validation(tmp_path):
    root = snapshot(tmp_path, {"classes": ["road", "car"], "val": ["night"]})
    assert [part.name for part in open_scenes(root, "train").footage] == ["day"]
    [part] = open_scenes(root, "val").footage
    assert part.name == "night" and sorted(part.labels) == [2] and len(part.frames) == 3


@pytest.mark.parametrize(
    ("classes", "what"),
    [
        (["road"], "two or more"),
        (["road", "road"], "twice"),
        ("road", "two or more"),
        ([1, 2], "two or more"),
    ],
)
def test_class_lists_that_cannot_be_used_are_refused(tmp_path, classes, what):
    with pytest.raises(BadInput, match=what):
        open_scenes(snapshot(tmp_path, classes), "train")


def test_label_maps_that_cannot_be_used_are_refused(tmp_path):
    root = snapshot(tmp_path, ["road", "car"])
    grey(root / "masks/day/1.png", 2)
    scenes = open_scenes(root, "train")
    with pytest.raises(BadMask, match="class 2; there are 2 classes"):
        scenes.labels(0, 1)
    grey(root / "masks/day/1.png", 1, (9, 12))
    with pytest.raises(BadMask, match="12x9 pixels, its frame has 12x8"):
        scenes.labels(0, 1)


def test_folders_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"no such folder"):
        open_scenes(tmp_path / "nowhere", "train")
    with pytest.raises(BadInput, match=r"CamVid: train/ and trainannot/.*Cityscapes.*snapshot"):
        open_scenes(tmp_path, "train")
    footage.write(tmp_path, "train", ["A_00030"])
    with pytest.raises(BadInput, match="no split 'val'"):
        open_scenes(tmp_path, "val")
    grey(tmp_path / "trainannot" / "A_00060.png", 1)
    with pytest.raises(BadInput, match=r"A_00060.png: no frame of that name"):
        open_scenes(tmp_path, "train")


def test_the_tail_of_every_footage_can_be_kept_back(tmp_path):
    footage.write(tmp_path, "train", [f"A_{n:05d}" for n in range(0, 300, 30)])
    scenes = open_scenes(tmp_path, "train")
    learned, kept = without_tail(scenes, 0.2), tail(scenes, 0.2)
    assert [n for _, n in learned.labelled()] == list(range(8))
    assert [n for _, n in kept.labelled()] == [8, 9]
    assert without_tail(scenes, 0.0).labelled() == scenes.labelled() and not tail(scenes, 0.0).labelled()
