"""Generated look-alikes: the same on every run, with exact truth, and they do meet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backends.core.errors import BadInput
from pipelines.studies.crossing import DrawnScene, draw, draw_scene, make_scene, scenes

SIZE_HW = (144, 256)
FRAMES = 16


@pytest.fixture(scope="module")
def drawn() -> list[DrawnScene]:
    return [draw_scene(scene) for scene in scenes(6, 3, SIZE_HW, FRAMES)]


def test_a_seed_gives_the_same_clip_and_another_seed_another(drawn: list[DrawnScene]) -> None:
    again = draw_scene(make_scene(4, 3, SIZE_HW, FRAMES))
    for index in range(FRAMES):
        assert np.array_equal(again.clip.frames[index], drawn[4].clip.frames[index])
        assert np.array_equal(again.truths[index], drawn[4].truths[index])
    other = draw(make_scene(4, 5, SIZE_HW, FRAMES), 0)[0]
    assert not np.array_equal(other, drawn[4].clip.frames[0])


def test_sizes_kinds_and_number_of_sprites(drawn: list[DrawnScene]) -> None:
    assert [d.scene.kind for d in drawn] == ["cross", "pass", "turn"] * 2
    assert [len(d.scene.objects) for d in drawn] == [2, 2, 2, 3, 2, 2]
    for d in drawn:
        assert len(d.clip) == len(d.truths) == FRAMES and d.clip.size_hw == SIZE_HW
        assert d.clip.frames[0].shape == (*SIZE_HW, 3) and d.clip.frames[0].dtype == np.uint8
        assert set(np.unique(d.truths[0])) == {0, *d.scene.objects}, "all are visible on the first frame"


@pytest.mark.parametrize("number", range(6))
def test_truth_is_what_the_eye_sees(number: int) -> None:
    """In pure colours on black, a pixel belongs to the sprite whose colour fills more than half of it."""
    scene = make_scene(number, 3, SIZE_HW, FRAMES)
    flat = [np.zeros_like(sprite.texture) for sprite in scene.sprites]
    for channel, texture in enumerate(flat):
        texture[..., channel] = 255
    plain = replace(
        scene,
        background=np.zeros_like(scene.background),
        sprites=tuple(replace(s, texture=t) for s, t in zip(scene.sprites, flat, strict=True)),
    )
    for index in range(FRAMES):
        image, truth = draw(plain, index)
        for channel in range(len(flat)):
            unsure = np.abs(image[..., channel].astype(int) - 127) <= 1  # half covered, up to rounding
            seen = image[..., channel] > 127
            assert np.array_equal(seen[~unsure], (truth == channel + 1)[~unsure])
        assert np.array_equal(draw(scene, index)[1], truth), "the truth does not depend on the paint"


def test_they_cross_one_before_the_other(drawn: list[DrawnScene]) -> None:
    for d in drawn:
        if d.scene.kind != "cross":
            continue
        first, second = (sprite.centres for sprite in d.scene.sprites[:2])
        assert (first[0] - second[0]) @ (first[-1] - second[-1]) < 0, "they change sides"
        areas = [[int(mask.sum()) for mask in d.masks(index).values()] for index in range(FRAMES)]
        hidden = np.array(areas).min(0) / np.array(areas[0])
        assert hidden[-1] == pytest.approx(1, abs=0.1), "the last sprite is in front, always whole"
        assert hidden[0] < 0.7, "the one behind is hidden in part"


def test_the_turning_ones_overlap_and_go_back(drawn: list[DrawnScene]) -> None:
    for d in drawn:
        if d.scene.kind != "turn":
            continue
        first, second = (sprite.centres for sprite in d.scene.sprites[:2])
        assert (first[0] - second[0]) @ (first[-1] - second[-1]) > 0, "they stay on their sides"
        visible = [int(d.masks(index)[1].sum()) for index in range(FRAMES)]
        assert 0.3 < min(visible) / visible[0] < 0.97


def test_look_alikes_share_their_look_and_differ_from_the_ground(drawn: list[DrawnScene]) -> None:
    for d in drawn:
        image = d.clip.frames[0].astype(float)
        means = [image[mask].mean(0) for mask in d.masks(0).values()]
        ground = image[d.truths[0] == 0].mean(0)
        between = max(float(np.linalg.norm(m - means[0])) for m in means)
        assert between < 0.6 * min(float(np.linalg.norm(m - ground)) for m in means)


@pytest.mark.parametrize(("count", "size", "frames"), [(0, SIZE_HW, 16), (1, (60, 256), 16), (1, SIZE_HW, 4)])
def test_too_little_is_refused(count: int, size: tuple[int, int], frames: int) -> None:
    with pytest.raises(BadInput, match="wants 1 clip or more"):
        list(scenes(count, 0, size, frames))
