"""Crops: where they look, what is padding, that they follow from their number."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from backends.core.errors import BadInput
from backends.weak_shot.labels import IGNORE
from backends.weak_shot.pictures import Shelf, reduced, reduced_labels, reduced_size
from backends.weak_shot.sampling import Mixed, ViewConfig, canvas, cut, numbered

TAGS = np.array([1, 0], np.float32)
STILL = ViewConfig(side_px=64, scale=(1.0, 1.0), jitter=0.0)


def photo(height: int = 96, width: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Red where the label is 1, blue where it is 2, dark elsewhere."""
    labels = np.zeros((height, width), np.uint8)
    labels[20:50, 10:30], labels[55:90, 35:60] = 1, 2
    colours = np.array([[20, 20, 20], [230, 20, 20], [20, 20, 230]], np.uint8)
    return colours[labels], labels


def test_a_crop_has_the_photos_shape_and_the_area_asked_for() -> None:
    assert canvas([(300, 300)], 128) == (128, 128)
    assert canvas([(830, 550)] * 3 + [(100, 900)], 224) == (272, 176)
    assert canvas([(10, 1000)], 128) == (96, 176), "no crop is narrower than 1:2"
    with pytest.raises(BadInput, match="no photos"):
        canvas([], 128)


@pytest.mark.parametrize("number", range(8))
def test_labels_go_where_the_picture_goes(number: int) -> None:
    image, labels = photo()
    view = ViewConfig(side_px=64, scale=(0.7, 2.0), jitter=0.0)
    sample = cut(image, labels, TAGS, (80, 48), view, np.random.default_rng(number))
    assert sample.image.shape == (80, 48, 3) and sample.labels.shape == (80, 48)
    red, blue = sample.image[..., 0] - sample.image[..., 2], sample.labels
    assert (red[blue == 1] > 0.3).mean() > 0.85 and (red[blue == 2] < -0.3).mean() > 0.85


def test_padding_is_unknown_and_never_background() -> None:
    image, labels = photo(40, 40)
    full = np.ones_like(labels)  # no background in the photo at all
    view = ViewConfig(scale=(0.5, 0.5), jitter=0.0)
    sample = cut(image, full, TAGS, (64, 64), view, np.random.default_rng(0))
    assert set(np.unique(sample.labels)) == {1, IGNORE}
    assert abs((sample.labels == 1).mean() - 0.25) < 0.04


def test_a_photo_that_fits_is_shown_whole_with_the_least_padding() -> None:
    image, labels = photo()
    for number in range(6):
        sample = cut(image, labels, TAGS, (96, 96), STILL, np.random.default_rng(number))
        assert (sample.labels == IGNORE).mean() == pytest.approx(1 / 3, abs=0.02)
        assert (sample.labels == 1).sum() == pytest.approx(600, rel=0.02)


def test_half_of_the_crops_are_mirrored() -> None:
    image, labels = photo()
    sides = []
    for number in range(40):
        found = cut(image, labels, TAGS, (96, 64), STILL, np.random.default_rng(number)).labels
        sides.append(float((found == 1).nonzero()[1].mean()) > 32)
    assert 10 <= sum(sides) <= 30


def test_a_crop_follows_from_its_seed() -> None:
    image, labels = photo()
    one, same, other = (
        cut(image, labels, TAGS, (64, 64), ViewConfig(), np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    assert np.array_equal(one.image, same.image) and np.array_equal(one.labels, same.labels)
    assert not np.array_equal(one.image, other.image)


def test_every_photo_comes_once_before_any_comes_again() -> None:
    items = list(range(7))
    drawn = [numbered(items, 0, n) for n in range(21)]
    assert all(sorted(drawn[i : i + 7]) == items for i in (0, 7, 14))
    assert drawn[:7] != drawn[7:14] and drawn != [numbered(items, 1, n) for n in range(21)]


def test_few_base_photos_get_their_share() -> None:
    pile = Mixed(["base"], [f"novel {i}" for i in range(9)], 0.4)
    drawn = Counter(pile(0, n).split()[0] for n in range(100))
    assert drawn == {"base": 40, "novel": 60}
    assert {Mixed([], ["a"], 0.5)(0, n) for n in range(5)} == {"a"}
    assert {Mixed(["a"], [], 0.5)(0, n) for n in range(5)} == {"a"}
    with pytest.raises(BadInput):
        Mixed([], [], 0.5)


def test_photos_are_reduced_never_enlarged_never_to_nothing() -> None:
    assert reduced_size((900, 600), 300) == (300, 200) and reduced_size((40, 30), 300) == (40, 30)
    assert reduced_size((5000, 3), 100) == (100, 1)
    image, labels = photo()
    assert reduced(image, 48).shape == (48, 32, 3)
    small = reduced_labels(labels, (48, 32))
    assert set(np.unique(small)) == {0, 1, 2}, "labels are not mixed"


def test_the_shelf_gives_up_what_was_not_read_for_longest() -> None:
    made: list[str] = []

    def make(name: str) -> np.ndarray:
        made.append(name)
        return np.zeros(10, np.uint8)

    shelf = Shelf(25)
    for name in ("a", "b", "a", "c", "a", "b"):
        shelf.get(name, lambda name=name: make(name))
    assert made == ["a", "b", "c", "b"]
