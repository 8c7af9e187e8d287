"""Propagation from files to files, with a segmenter that repeats the nearest given mask."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from backends.core.errors import BadInput, BadMask, BadMedia
from backends.core.palette import davis_palette
from backends.core.types import Clip, FrameMasks, Prompt
from pipelines.media.palette import write_index_png
from pipelines.propagate_files import compose, propagate_files
from tests.media import NearestAnchor, draw_frame, draw_mask, save_frames, save_mask, write_video


class Case:
    """Six frames and two masks in a folder; ``run`` propagates them."""

    def __init__(self, root: Path, suffix: str = ".jpg") -> None:
        self.frames, self.masks, self.out = root / "frames", root / "masks", root / "out"
        save_frames(self.frames, 6, suffix=suffix)
        self.masks.mkdir()
        self.segmenter = NearestAnchor()

    def run(self) -> dict[str, Any]:
        return propagate_files(lambda: self.segmenter, self.frames, self.masks, self.out)

    def written(self, name: str) -> np.ndarray:
        picture = Pillow.open(self.out / f"{name}.png")
        assert picture.mode == "P" and picture.size == (64, 48)
        assert picture.getpalette() == davis_palette().ravel().tolist()
        return np.asarray(picture)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def only(number: int, frame: int) -> np.ndarray:
    return np.where(draw_mask(frame) == number, number, 0).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_one_palette_png_per_frame_and_a_report(tmp_path: Path, suffix: str) -> None:
    case = Case(tmp_path, suffix)
    write_index_png(case.masks / "00000.png", only(1, 0))
    write_index_png(case.masks / "00004.png", only(2, 4))  # object 2 comes later
    report = case.run()
    assert sorted(p.name for p in case.out.glob("*.png")) == [f"{i:05d}.png" for i in range(6)]
    assert [(p.object_id, p.frame_index, p.is_anchor) for p in case.segmenter.seen] == [
        ("1", 0, True),
        ("2", 4, True),
    ]
    assert report == json.loads((case.out / "propagate.json").read_text())
    assert report["version"] == "nearest-00000000" and report["complete"] is True
    assert report["objects"] == [1, 2] and report["ms_per_frame"] >= 0
    assert report["anchors"] == {"00000": "00000.png", "00004": "00004.png"}
    assert [frame["name"] for frame in report["frames"]] == [f"{i:05d}" for i in range(6)]
    assert report["frames"][0]["objects"]["1"] == {
        "confidence": 1.0,
        "area_px": int((only(1, 0) == 1).sum()),
        "anchor": True,
    }
    assert report["frames"][3]["objects"]["1"]["confidence"] == 0.5
    assert set(np.unique(case.written("00003"))) == {0, 1, 2}


def test_given_masks_come_back_bit_for_bit(case: Case) -> None:
    """Also where the segmenter would say otherwise, for the objects that the mask shows."""

    class Stubborn(NearestAnchor):
        def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
            everywhere = np.ones(clip.size_hw, bool)
            for index in range(len(clip)):
                yield FrameMasks(index, {"1": everywhere, "2": everywhere}, {"1": 0.9, "2": 0.8})

    case.segmenter = Stubborn()
    for frame in (0, 3):
        write_index_png(case.masks / f"{frame:05d}.png", draw_mask(frame))
    case.run()
    assert (case.written("00000") == draw_mask(0)).all()
    assert (case.written("00003") == draw_mask(3)).all()
    assert (case.written("00001") == 1).all()


def test_white_on_black_is_object_1(case: Case) -> None:
    save_mask(case.masks / "00002.png", (only(1, 2) * 255).astype(np.uint8))
    write_index_png(case.masks / "00005.png", only(2, 5))
    report = case.run()
    assert report["objects"] == [1, 2]
    assert (case.written("00002")[only(1, 2) == 1] == 1).all()


def test_255_beside_another_object_is_a_number_everywhere(case: Case) -> None:
    both = only(1, 0)
    both[-1, -1] = 255
    save_mask(case.masks / "00000.png", both)
    save_mask(case.masks / "00003.png", (only(1, 3) * 255).astype(np.uint8))
    assert case.run()["objects"] == [1, 255]
    assert set(np.unique(case.written("00003"))) == {0, 1, 255}


def test_video_file_as_frames(case: Case) -> None:
    case.frames = write_video(case.frames.parent / "v.mp4", [draw_frame(i) for i in range(5)])
    write_index_png(case.masks / "00002.png", draw_mask(2))
    report = case.run()
    assert [frame["name"] for frame in report["frames"]] == [f"{i:05d}" for i in range(5)]
    assert (case.written("00002") == draw_mask(2)).all()


def test_again_into_the_same_folder(case: Case) -> None:
    write_index_png(case.masks / "00000.png", draw_mask(0))
    case.run()
    (case.out / "00003.png").write_bytes(b"old")
    case.run()
    assert (case.written("00003") == case.written("00000")).all()
    assert [p.name for p in case.out.iterdir() if p.name.startswith(".")] == []


def test_interrupt_keeps_the_frames_written(case: Case) -> None:
    class Interrupted(NearestAnchor):
        def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
            for result in super().segment(clip, prompts):
                if result.frame_index == 3:
                    raise KeyboardInterrupt
                yield result

    case.segmenter = Interrupted()
    write_index_png(case.masks / "00000.png", draw_mask(0))
    with pytest.raises(KeyboardInterrupt):
        case.run()
    assert sorted(p.name for p in case.out.glob("*.png")) == ["00000.png", "00001.png", "00002.png"]
    report = json.loads((case.out / "propagate.json").read_text())
    assert report["complete"] is False and len(report["frames"]) == 3


def bad_size(case: Case) -> None:
    save_mask(case.masks / "00001.png", np.ones((48, 63), np.uint8))


def bad_empty(case: Case) -> None:
    save_mask(case.masks / "00001.png", np.zeros((48, 64), np.uint8))


def bad_name(case: Case) -> None:
    save_mask(case.masks / "00009.png", draw_mask(0))


def bad_count(case: Case) -> None:
    save_mask(case.masks / "00001.png", np.full((48, 64), 256, np.uint16))  # type: ignore[arg-type]


def bad_colours(case: Case) -> None:
    Pillow.fromarray(draw_frame(0)).save(case.masks / "00001.png")


def bad_file(case: Case) -> None:
    (case.masks / "00001.png").write_bytes(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (bad_size, r"00001\.png: 63x48 pixels; its frame has 64x48"),
        (bad_empty, r"00001\.png: the mask is empty"),
        (bad_name, r"00009\.png: no frame is called 00009; the frames are 00000 to 00005"),
        (bad_count, r"00001\.png: .*up to 256.*255 objects"),
        (bad_colours, r"00001\.png: colour #\w+ is not a DAVIS colour"),
        (bad_file, r"00001\.png"),
    ],
)
def test_unusable_mask_is_named_and_nothing_is_written(case: Case, spoil: Any, words: str) -> None:
    write_index_png(case.masks / "00000.png", draw_mask(0))
    spoil(case)

    def load() -> NearestAnchor:
        raise AssertionError("the model was loaded for nothing")

    with pytest.raises(BadMask, match=words):
        propagate_files(load, case.frames, case.masks, case.out)
    assert not case.out.exists()


def test_unusable_folders(case: Case, tmp_path: Path) -> None:
    with pytest.raises(BadMask, match="no PNG masks in it"):
        case.run()
    write_index_png(case.masks / "00000.png", draw_mask(0))
    for out in (case.frames, case.masks):
        with pytest.raises(BadInput, match="would be overwritten"):
            propagate_files(lambda: case.segmenter, case.frames, case.masks, out)
    with pytest.raises(BadInput, match="is a file"):
        propagate_files(lambda: case.segmenter, case.frames, case.masks, case.frames / "00000.jpg")
    with pytest.raises(BadMask, match="no such folder of masks"):
        propagate_files(lambda: case.segmenter, case.frames, tmp_path / "nowhere", case.out)
    with pytest.raises(BadMedia, match="no such folder"):
        propagate_files(lambda: case.segmenter, tmp_path / "nowhere", case.masks, case.out)


def test_overlap_goes_to_the_surer_object() -> None:
    left, all_ = np.zeros((2, 4), bool), np.ones((2, 4), bool)
    left[:, :2] = True
    sure = FrameMasks(0, {"1": all_, "2": left}, {"1": 0.4, "2": 0.9})
    unsure = FrameMasks(0, {"1": all_, "2": left}, {"1": 0.9, "2": 0.4})
    assert compose(sure, None, (2, 4)).tolist() == [[2, 2, 1, 1]] * 2
    assert compose(unsure, None, (2, 4)).tolist() == [[1, 1, 1, 1]] * 2
    given = np.array([[0, 0, 0, 2]] * 2, np.uint8)
    assert compose(sure, given, (2, 4)).tolist() == [[1, 1, 1, 2]] * 2
