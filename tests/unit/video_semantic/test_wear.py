"""Worn frames: each by a draw of its own, within its bounds, and untouched where nothing is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from backends.core.errors import BadInput
from backends.video_semantic.wear import WearConfig, worn

PICTURE = np.random.default_rng(5).integers(60, 200, (96, 128, 3)).astype(np.uint8)
ALL = WearConfig(noise=0.06, blur_px=1.2, blocks=0.5, patches=0.3)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_nothing_asked_for_changes_nothing_and_draws_nothing() -> None:
    generator = rng()
    before = generator.bit_generator.state
    assert worn(PICTURE, WearConfig(), generator, newest=True) is PICTURE
    assert generator.bit_generator.state == before


def test_the_same_draw_wears_alike_and_the_next_one_otherwise() -> None:
    generator = rng()
    first, second = (worn(PICTURE, ALL, generator, newest=False) for _ in range(2))
    assert np.array_equal(first, worn(PICTURE, ALL, rng(), newest=False))
    assert not np.array_equal(first, second)
    assert first.shape == PICTURE.shape and first.dtype == np.uint8


def test_patches_lie_on_the_newest_frame_alone_and_keep_to_their_share() -> None:
    config = WearConfig(patches=0.4)
    for seed in range(20):
        assert np.array_equal(worn(PICTURE, config, rng(seed), newest=False), PICTURE)
        changed = (worn(PICTURE, config, rng(seed), newest=True) != PICTURE).any(-1).mean()
        assert changed <= 0.4 + 0.07, "the last patch may go a little over"
    assert changed > 0


@pytest.mark.parametrize("name", ["noise", "blur_px", "blocks", "patches"])
def test_each_kind_acts_alone_and_refuses_less_than_nothing(name: str) -> None:
    config = WearConfig(**{name: 1.0})
    assert any(
        not np.array_equal(worn(PICTURE, config, rng(seed), newest=True), PICTURE) for seed in range(4)
    )
    with pytest.raises(BadInput, match=rf"clip\.wear\.{name} is -0\.5"):
        WearConfig(**{name: -0.5})
