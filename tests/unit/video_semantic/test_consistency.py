"""Temporal consistency: what it gives for motion that is known, for constants, and at the borders."""

import cv2
import numpy as np
import pytest

from backends.core.errors import BadMask, BadMedia
from backends.video_semantic.consistency import IGNORE, Consistency, agreeing, carried_back, motion

SIZE = (96, 128)


def textured(seed=0, extra=40):
    """A picture with something to match everywhere, larger than SIZE."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (SIZE[0] // 4 + extra, SIZE[1] // 4 + extra, 3), dtype=np.uint8)
    return cv2.resize(small, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)


def moved(shift_x, shift_y):
    """Two frames whose content moves by (shift_x, shift_y) px, and their label maps of blocks."""
    picture = textured()
    rows, columns = np.indices(picture.shape[:2])
    labels = ((rows // 24 + columns // 32) % 3).astype(np.uint8)
    first = np.s_[20 : 20 + SIZE[0], 20 : 20 + SIZE[1]]
    second = np.s_[20 - shift_y : 20 - shift_y + SIZE[0], 20 - shift_x : 20 - shift_x + SIZE[1]]
    return picture[first], picture[second], labels[first], labels[second]


@pytest.mark.parametrize("shift", [(0, 0), (5, 0), (-4, 3)])
def test_labels_that_move_with_the_picture_are_consistent(shift):
    frame, following, labels, later = moved(*shift)
    steady = Consistency(3)
    agreement = steady.add(frame, following, labels, later)
    assert steady.overall > 0.97 and steady.pairs == 1
    assert np.allclose(agreement.per_class, steady.per_class)
    assert steady.overall_occ >= steady.overall - 0.01


def test_labels_that_stand_while_the_picture_moves_are_not():
    frame, following, labels, _ = moved(12, 8)
    steady = Consistency(3)
    steady.add(frame, following, labels, labels)
    assert steady.overall < 0.75


def test_flow_finds_the_motion_with_its_sign():
    frame, following, *_ = moved(5, -3)
    found = motion(frame, following)
    middle = found.flow[24:-24, 24:-24].reshape(-1, 2)
    assert np.allclose(np.median(middle, 0), (5, -3), atol=0.2)


def test_a_constant_answer_is_perfectly_consistent_and_absent_classes_say_nothing():
    frame, following, labels, _ = moved(5, 0)
    steady = Consistency(4)
    steady.add(frame, following, np.full_like(labels, 2), np.full_like(labels, 2))
    assert steady.overall == 1.0
    assert np.isnan(steady.per_class[[0, 1, 3]]).all() and steady.per_class[2] == 1.0


def test_nothing_outside_the_frame_counts_and_no_class_is_made_up():
    labels = np.array([[0, 7, 7, 0]] * 4, np.uint8)
    flow = np.zeros((4, 4, 2), np.float32)
    flow[..., 0] = 1.4
    assert carried_back(labels, flow).tolist() == [[7, 7, 0, IGNORE]] * 4  # never 3 or 4, a mean of 0 and 7


def test_ignored_pixels_of_either_frame_do_not_count():
    frame, following, labels, _ = moved(0, 0)
    one, other = np.zeros_like(labels), np.ones_like(labels)
    one[:, :64], other[:, 64:] = IGNORE, IGNORE
    steady = Consistency(2)
    steady.add(frame, following, one, other)
    assert np.isnan(steady.overall)


def test_a_pixel_that_is_covered_next_is_told_by_the_way_back():
    there, back = np.zeros((8, 16, 2), np.float32), np.zeros((8, 16, 2), np.float32)
    there[:, 4:8, 0] = 4.0  # these claim to be where others stand still
    seen = agreeing(there, back)
    assert not seen[:, 4:8].any() and seen[:, :4].all() and seen[:, 8:].all()
    there[:, 14:, 0] = 5.0
    assert not agreeing(there, back)[:, 14:].any()  # they leave the frame


def test_covered_pixels_count_in_one_figure_only():
    frame, following, labels, later = moved(0, 0)
    following = following.copy()
    following[30:70, 40:90] = textured(9)[:40, :50]  # something comes before it
    later = later.copy()
    later[30:70, 40:90] = 3
    steady = Consistency(4)
    steady.add(frame, following, labels, later)
    assert steady.overall_occ > steady.overall + 0.05


def test_frames_of_two_sizes_are_refused():
    frame, following, *_ = moved(0, 0)
    with pytest.raises(BadMedia, match="128x96 px and 100x96 px"):
        motion(frame, following[:, :100])
    with pytest.raises(BadMedia, match="16 px or more"):
        motion(frame[:8], following[:8])


def test_a_class_beyond_the_last_is_refused_and_nothing_is_counted():
    frame, following, labels, later = moved(0, 0)
    steady = Consistency(2)
    with pytest.raises(BadMask):
        steady.add(frame, following, labels, later)
    assert steady.pairs == 0
