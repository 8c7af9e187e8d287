"""The sample clip: what it promises about its frames and its ground truth."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from backends.core.masks import iou
from pipelines.media.sample_clip import FRAME_NAMES, N_FRAMES, SIZE_HW, draw, write_sample_clip

OBJECTS = (1, 2)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sample")
    write_sample_clip(folder / "frames", folder / "truth")
    return folder / "frames", folder / "truth"


@pytest.fixture(scope="module")
def truths(written: tuple[Path, Path]) -> list[NDArray[np.uint8]]:
    return [np.asarray(Image.open(path)) for path in sorted(written[1].iterdir())]


def test_forty_jpegs_with_an_index_mask_each(written: tuple[Path, Path]) -> None:
    frames, truth = written
    assert tuple(path.name for path in sorted(frames.iterdir())) == FRAME_NAMES
    assert [path.stem for path in sorted(truth.iterdir())] == [Path(name).stem for name in FRAME_NAMES]
    for path in frames.iterdir():
        with Image.open(path) as picture:
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", SIZE_HW[::-1])
    for path in truth.iterdir():
        with Image.open(path) as picture:
            assert (picture.format, picture.mode, picture.size) == ("PNG", "P", SIZE_HW[::-1])


def test_both_objects_are_seen_in_every_frame(truths: list[NDArray[np.uint8]]) -> None:
    for number, truth in enumerate(truths):
        assert set(np.unique(truth)) == {0, 1, 2}, number
        for index in OBJECTS:
            assert (truth == index).mean() > 0.02, (number, index)


def test_they_move_scale_and_cross(truths: list[NDArray[np.uint8]]) -> None:
    centre_x = [[np.nonzero(truth == index)[1].mean() for truth in truths] for index in OBJECTS]
    assert centre_x[0][0] < centre_x[1][0] and centre_x[0][-1] > centre_x[1][-1], "they change sides"
    for index in OBJECTS:
        areas = [(truth == index).sum() for truth in truths]
        assert max(areas) > 1.3 * min(areas)


def test_the_second_object_hides_part_of_the_first(truths: list[NDArray[np.uint8]]) -> None:
    """Where they touch, the first has lost area although it is nearest to the viewer then."""
    areas = [int((truth == 1).sum()) for truth in truths]
    assert areas[20] < areas[14] - 5000 and areas[20] < areas[28] - 5000


def test_steps_are_small_enough_to_follow(truths: list[NDArray[np.uint8]]) -> None:
    for before, after in itertools.pairwise(truths):
        for index in OBJECTS:
            assert iou(before == index, after == index) > 0.7


def test_the_truth_is_where_the_object_is(written: tuple[Path, Path]) -> None:
    """The cup is red before a blue sky: its mask holds nearly all of the red of the upper half."""
    with Image.open(written[0] / FRAME_NAMES[0]) as picture:
        red, _, blue = np.moveaxis(np.asarray(picture).astype(int), 2, 0)
    truth = np.asarray(Image.open(written[1] / "00000.png"))
    reddish = (red > blue + 70) & (np.arange(SIZE_HW[0])[:, None] < 340)
    on_object = reddish & (truth > 0)
    assert reddish.sum() > 8000 and on_object.sum() > 0.97 * reddish.sum()


def test_the_same_pixels_every_time(written: tuple[Path, Path]) -> None:
    image, truth = next(iter(draw()))
    assert np.array_equal(truth, np.asarray(Image.open(written[1] / "00000.png")))
    again, _ = next(iter(draw()))
    assert np.array_equal(image, again)


def test_a_run_that_was_broken_off_is_completed(written: tuple[Path, Path]) -> None:
    frames, truth = written
    digest = hashlib.sha256((frames / FRAME_NAMES[3]).read_bytes()).digest()
    (frames / FRAME_NAMES[3]).unlink()
    (truth / "00030.png").unlink()
    assert len(write_sample_clip(frames, truth)) == N_FRAMES
    assert hashlib.sha256((frames / FRAME_NAMES[3]).read_bytes()).digest() == digest
    assert (truth / "00030.png").is_file()
