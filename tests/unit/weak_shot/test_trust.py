"""What makes a pseudo-mask doubtful."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backends.weak_shot.trust import Grounds, grounds
from tests.unit.weak_shot.grids import two_regions

DISC = two_regions(24, 24) == 1
RIM = np.zeros((24, 24), np.float32)
RIM[DISC & ~(np.roll(DISC, 1, 0) & np.roll(DISC, -1, 0) & np.roll(DISC, 1, 1) & np.roll(DISC, -1, 1))] = 0.9
SURE = np.stack([np.where(DISC, 0.1, 0.9), np.where(DISC, 0.9, 0.1)]).astype(np.float32)
RESPONSE = DISC.astype(np.float32)


def test_a_good_mask_is_trusted() -> None:
    found = grounds(1, SURE, RESPONSE, RIM, 0.95)
    assert found == Grounds(
        agreement=pytest.approx(1, abs=1e-6),
        closure=pytest.approx(0.9, abs=1e-6),
        margin=pytest.approx(0.8, abs=1e-6),
        presence=0.95,
    )
    assert 0.8 < found.trust < 0.95


def test_every_sign_counts() -> None:
    best = grounds(1, SURE, RESPONSE, RIM, 0.95).trust
    elsewhere = np.roll(RESPONSE, 12, axis=1)
    unsure = np.stack([np.where(DISC, 0.45, 0.55), np.where(DISC, 0.55, 0.45)]).astype(np.float32)
    doubts = {
        "the seeds lie elsewhere": grounds(1, SURE, elsewhere, RIM, 0.95),
        "no boundary where it ends": grounds(1, SURE, RESPONSE, np.zeros_like(RIM), 0.95),
        "hardly won": grounds(1, unsure, RESPONSE, RIM, 0.95),
        "not seen by the classifier": grounds(1, SURE, RESPONSE, RIM, 0.05),
    }
    for why, found in doubts.items():
        assert found.trust < 0.7 * best, why


def test_an_absent_class_is_not_trusted_however_clear_its_mask() -> None:
    assert grounds(1, SURE, RESPONSE, RIM, 0.03).trust < 0.05


def test_a_class_without_a_cell_has_no_trust() -> None:
    nothing = np.stack([np.ones((24, 24)), np.zeros((24, 24))]).astype(np.float32)
    assert grounds(1, nothing, RESPONSE, RIM, 0.9).trust == 0
    assert grounds(1, nothing, RESPONSE, None, None).trust == 0


def test_a_mask_that_fills_the_image_is_held_by_nothing() -> None:
    everywhere = SURE[::-1] * 0 + np.array([0.1, 0.9], np.float32)[:, None, None]
    assert grounds(1, everywhere, RESPONSE, RIM, 0.9).closure == 0


def test_what_is_not_known_is_left_out() -> None:
    found = grounds(1, SURE, RESPONSE, None, None)
    assert found.closure is None and found.presence is None
    assert found.trust == pytest.approx((found.agreement * found.margin) ** 0.5)
    assert replace(found, presence=0.5).trust == pytest.approx(found.trust / 2)


def test_the_image_edge_is_no_contour() -> None:
    half = np.zeros((10, 10), bool)
    half[:, :4] = True
    scores = np.stack([~half, half]).astype(np.float32)
    boundary = np.zeros((10, 10), np.float32)
    boundary[:, 3] = 1
    assert grounds(1, scores, half.astype(np.float32), boundary, 1.0).closure == 1


@pytest.mark.parametrize("seed", range(5))
def test_trust_stays_within_zero_and_one(seed: int) -> None:
    draw = np.random.default_rng(seed)
    scores = draw.random((3, 9, 7)).astype(np.float32)
    for row in (1, 2):
        found = grounds(
            row, scores, draw.random((9, 7)), draw.random((9, 7)).astype(np.float32), draw.random()
        )
        assert 0 <= found.trust <= 1
