"""Training samples: a pure function of seed and index, never empty, and as various as they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backends.clicks.sampling import SampleConfig, draw, loose_box, spoil
from backends.clicks.stills import Still

CONFIG = SampleConfig(crop_hw=(96, 128))


def still(labels: tuple[int, ...] = (1,), *, whole: bool = False) -> Still:
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 255, (180, 240, 3), np.uint8)
    marked = np.zeros((180, 240), np.uint8)
    for order, label in enumerate(labels):
        marked[40 + 30 * order : 70 + 30 * order, 60:140] = label
    return Still(picture, marked, whole)


@pytest.mark.parametrize("index", [0, 1, 7])
def test_a_sample_depends_on_seed_and_index_alone(index: int) -> None:
    first, again, other = (draw([still()], [], CONFIG, seed, index) for seed in (0, 0, 1))
    assert np.array_equal(first.image, again.image) and np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.image, other.image)


def test_samples_have_an_object_and_all_kinds_of_beginnings() -> None:
    drawn = [draw([still()], [still((1, 2), whole=True)], CONFIG, 0, index) for index in range(60)]
    assert all(sample.mask.sum() >= 100 and sample.image.shape == (96, 128, 3) for sample in drawn)
    assert all(sample.image.min() >= 0 and sample.image.max() <= 1 for sample in drawn)
    boxes = sum(sample.box is not None for sample in drawn)
    masks = sum(sample.before is not None for sample in drawn)
    assert 4 <= boxes <= 25 and 6 <= masks <= 28
    assert not any(sample.box is not None and sample.before is not None for sample in drawn)


def test_a_person_is_the_whole_and_sometimes_one_garment() -> None:
    config = replace(CONFIG, part=1.0, photos=1.0, paste=0.0)
    picture = still((1, 2), whole=True)
    whole = draw([picture], [picture], replace(config, part=0.0), 0, 0)
    part = draw([picture], [picture], config, 0, 0)
    assert part.mask.sum() < 0.8 * whole.mask.sum()


def test_a_picture_without_an_object_still_gives_a_sample() -> None:
    assert draw([still(())], [], CONFIG, 0, 0).mask.any()


def test_a_box_holds_the_object_but_for_a_little() -> None:
    mask = np.zeros((100, 100), np.bool_)
    mask[30:60, 20:80] = True
    for seed in range(30):
        box = loose_box(mask, np.random.default_rng(seed))
        assert 0 <= box.x0 <= 20 + 3 and 80 - 3 <= box.x1 <= 100
        assert 0 <= box.y0 <= 30 + 3 and 60 - 3 <= box.y1 <= 100


def test_a_spoilt_mask_is_near_the_true_one() -> None:
    mask = np.zeros((100, 100), np.bool_)
    mask[30:70, 20:80] = True
    overlaps = []
    for seed in range(40):
        faulty = spoil(mask, np.random.default_rng(seed))
        overlaps.append((faulty & mask).sum() / (faulty | mask).sum())
    assert min(overlaps) > 0.1 and 0.4 < np.mean(overlaps) < 0.95
