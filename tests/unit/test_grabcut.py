"""Masks from clicks and boxes: they find the thing, and never contradict what the person said."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from skimage import data
from skimage.transform import resize

from backends.clicks.grabcut import grabcut_mask
from backends.core.errors import BadMask, BadMedia
from backends.core.masks import iou
from backends.core.types import BoxPrompt, Image, Mask, PointPrompt

HEIGHT, WIDTH = 480, 854


def point(x: float, y: float, positive: bool = True) -> PointPrompt:
    return PointPrompt("object 1", 0, x, y, positive)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> BoxPrompt:
    return BoxPrompt("object 1", 0, x0, y0, x1, y1)


def ellipse(x: int, y: int, a: int, b: int) -> Mask:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.asarray(((columns - x) / a) ** 2 + ((rows - y) / b) ** 2 < 1, np.bool_)


@pytest.fixture(scope="module")
def truth() -> Mask:
    return ellipse(500, 220, 110, 80)


@pytest.fixture(scope="module")
def scene(truth: Mask) -> Image:
    """A cat's fur in the shape of an ellipse before a cup of coffee: both are photographs."""
    scene, fur = (
        (resize(picture, (HEIGHT, WIDTH), anti_aliasing=True) * 255).astype(np.uint8)
        for picture in (data.coffee(), data.chelsea())
    )
    scene[truth] = fur[truth]
    return scene


CASES = {
    "one click": ([point(500, 220)], [], 0.6),
    "three clicks": ([point(500, 220), point(440, 220), point(560, 240)], [], 0.6),
    "negatives": (
        [point(500, 220), point(560, 240), point(500, 120, False), point(360, 220, False)],
        [],
        0.6,
    ),
    "box": ([], [rectangle(385, 135, 615, 305)], 0.95),
    "loose box": ([], [rectangle(365, 115, 635, 325)], 0.8),
}


@pytest.mark.parametrize("name", CASES)
def test_it_finds_the_object(scene: Image, truth: Mask, name: str) -> None:
    points, boxes, least = CASES[name]
    began = time.monotonic()
    mask = grabcut_mask(scene, points, boxes)
    assert mask.shape == truth.shape and mask.dtype == np.bool_
    assert iou(mask, truth) >= least
    assert time.monotonic() - began < 10  # 0.3 s on a free core


def test_a_click_adds_what_an_earlier_mask_lacks(scene: Image, truth: Mask) -> None:
    before = ellipse(470, 220, 60, 60) & truth
    after = grabcut_mask(scene, [point(580, 220)], previous=before)
    assert iou(after, truth) > iou(before, truth) + 0.2


def test_a_negative_click_takes_away_what_an_earlier_mask_has_too_much(scene: Image, truth: Mask) -> None:
    before = truth | ellipse(700, 220, 110, 50)
    after = grabcut_mask(scene, [point(740, 220, False)], previous=before)
    assert not after[220, 740]
    assert iou(after, truth) > iou(before, truth) + 0.05


def test_the_same_clicks_give_the_same_mask(scene: Image) -> None:
    first = grabcut_mask(scene, [point(500, 220)])
    grabcut_mask(scene, [point(100, 100)])
    assert np.array_equal(first, grabcut_mask(scene, [point(500, 220)]))


def test_what_was_said_holds_everywhere(scene: Image) -> None:
    """Random clicks and boxes, edges included: positive ones inside, negative ones outside, never a crash."""
    random = np.random.default_rng(5)
    spots = [(0.0, 0.0), (WIDTH - 1.0, 0.0), (WIDTH, HEIGHT), *random.uniform(0, (WIDTH, HEIGHT), (12, 2))]
    for (x, y), (other_x, other_y) in itertools.pairwise(spots):
        if abs(x - other_x) + abs(y - other_y) < 20:
            continue
        mask = grabcut_mask(scene, [point(x, y), point(other_x, other_y, False)])
        assert mask[min(int(y), HEIGHT - 1), min(int(x), WIDTH - 1)]
        assert not mask[min(int(other_y), HEIGHT - 1), min(int(other_x), WIDTH - 1)]


@pytest.mark.parametrize(
    ("corners", "fill"),
    [((0, 0, WIDTH, HEIGHT), 90), ((10, 10, 11, 11), 90), ((800, 400, 900, 600), 90), ((5, 5, 60, 60), 0)],
)
def test_a_box_is_never_answered_with_nothing(corners: tuple[int, ...], fill: int) -> None:
    flat = np.full((HEIGHT, WIDTH, 3), fill, np.uint8)
    mask = grabcut_mask(flat, [], [rectangle(*corners)])
    assert mask.any()
    x0, y0, x1, y1 = corners
    outside = mask.copy()
    outside[max(0, y0) : y1, max(0, x0) : x1] = False
    assert not outside.any()


def test_without_anything_to_go_by_nothing_changes(scene: Image, truth: Mask) -> None:
    assert not grabcut_mask(scene, []).any()
    assert not grabcut_mask(scene, [point(9, 9, False)]).any()
    assert np.array_equal(grabcut_mask(scene, [], previous=truth), truth)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (8, 8), (9, 5)])
def test_tiny_frames_do_not_break_it(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (*size, 3), np.uint8)
    mask = grabcut_mask(picture, [point(0, 0)], [])
    assert mask.shape == size and mask[0, 0]
    assert grabcut_mask(picture, [], [rectangle(0, 0, size[1], size[0])]).any()


def test_wrong_shapes_are_refused(scene: Image, truth: Mask) -> None:
    with pytest.raises(BadMedia, match="uint8"):
        grabcut_mask(scene[:, :, 0], [point(1, 1)])
    with pytest.raises(BadMask, match="sizes must agree"):
        grabcut_mask(scene, [point(1, 1)], previous=truth[:-1])
