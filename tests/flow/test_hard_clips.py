"""What clips and masks do to the served network when they are not what it was drawn for."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backends.core.errors import BadMedia
from backends.core.types import Clip, FrameMasks, MaskPrompt
from backends.registry import Registry
from backends.video_object.segmenter import load

SIZE = (240, 426)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    served = Registry(tmp_path_factory.mktemp("models")).served("video_object")
    return load(served.weights, version=served.version)


def texture(seed: int, size=SIZE, base=(90, 120, 80), coarse: int = 12) -> np.ndarray:
    """A random pattern with structure at several scales, around one colour."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.normal(0, 16, (n, n * 2, 3)), size[::-1], interpolation=cv2.INTER_CUBIC)
        for n in (coarse // 2, coarse, 3 * coarse)
    ]
    return np.clip(np.array(base) + sum(layers), 0, 255).astype(np.uint8)


def disc(row: float, column: float, radius: float, size=SIZE) -> np.ndarray:
    y, x = np.ogrid[: size[0], : size[1]]
    return (y - row) ** 2 + (x - column) ** 2 < radius**2


def scene(
    places: list[tuple[float, float]], radius: float = 34, ground: int = 1
) -> tuple[Clip, list[np.ndarray]]:
    """A textured disc on its way over a textured ground; the masks are exact."""
    back, skin = texture(ground), texture(50, (240, 240), (205, 95, 70), 8)
    frames, masks = [], []
    for row, column in places:
        mask = disc(row, column, radius)
        shift = np.float32([[1, 0, column - 120], [0, 1, row - 120]])
        moved = cv2.warpAffine(skin, shift, SIZE[::-1], borderMode=cv2.BORDER_REFLECT_101)
        frames.append(np.where(mask[..., None], moved, back))
        masks.append(mask)
    return clip(frames), masks


def clip(frames: list[np.ndarray]) -> Clip:
    return Clip("drawn", frames, SIZE, tuple(f"{i:05d}" for i in range(len(frames))))


def run(segmenter, frames: Clip, *prompts: MaskPrompt) -> dict[int, FrameMasks]:
    return {a.frame_index: a for a in segmenter.segment(frames, prompts)}


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def test_an_object_leaves_and_returns(segmenter):
    away = [(120, c) for c in (330, 360, 395, 430, 465, 500, 500, 465, 430, 395, 360, 330)]
    frames, masks = scene(away)
    answers = run(segmenter, frames, MaskPrompt("ball", 0, masks[0]))
    gone = [t for t, m in enumerate(masks) if not m.any()]
    assert gone and all(answers[t].masks["ball"].mean() < 0.005 for t in gone), "nothing is there to mark"
    assert iou(answers[11].masks["ball"], masks[11]) > 0.6


def test_an_object_at_the_border_stays_at_the_border(segmenter):
    frames, masks = scene([(222, 60 + 8 * t) for t in range(6)])
    answers = run(segmenter, frames, MaskPrompt("ball", 0, masks[0]))
    assert all(iou(answers[t].masks["ball"], masks[t]) > 0.6 for t in range(6))


def test_an_object_that_is_absent_in_one_anchor_is_found_from_the_other(segmenter):
    frames, masks = scene([(120, c) for c in (500, 440, 380, 320, 280, 240)])
    nothing = MaskPrompt("ball", 0, masks[0])
    assert not masks[0].any()
    answers = run(segmenter, frames, nothing, MaskPrompt("ball", 5, masks[5]))
    assert not answers[0].masks["ball"].any() and answers[0].anchors == {"ball"}
    assert iou(answers[4].masks["ball"], masks[4]) > 0.6


def test_one_pixel_is_a_mask_and_one_frame_is_a_clip(segmenter):
    frames, _ = scene([(120, 100), (120, 110), (120, 120)])
    speck = np.zeros(SIZE, bool)
    speck[120, 100] = True
    answers = run(segmenter, frames, MaskPrompt("speck", 1, speck))
    assert np.array_equal(answers[1].masks["speck"], speck)
    assert all(0 <= answers[t].confidence["speck"] <= 1 for t in (0, 2))
    [only] = run(segmenter, clip([frames.frames[0]]), MaskPrompt("speck", 0, speck)).values()
    assert np.array_equal(only.masks["speck"], speck)


def test_thirty_objects_keep_apart_and_come_back_whole(segmenter):
    frames, _ = scene([(120, 100), (120, 104)])
    prompts = [MaskPrompt(f"o{i:02d}", 0, disc(25 + 40 * (i // 6), 40 + 66 * (i % 6), 12)) for i in range(30)]
    answers = run(segmenter, frames, *prompts)
    assert len(answers[1].masks) == 30
    assert np.stack(list(answers[1].masks.values())).sum(0).max() <= 1, "a pixel has one owner"
    for prompt in prompts:
        assert np.array_equal(answers[0].masks[prompt.object_id], prompt.mask)


def test_a_clip_that_changes_size_is_refused_by_frame_size(segmenter):
    frames, masks = scene([(120, 100), (120, 110)])
    odd = clip([*frames.frames, texture(3, (200, 426))])
    with pytest.raises(BadMedia, match=r"frame 00002 is 426x200, the clip began with 426x240"):
        run(segmenter, odd, MaskPrompt("ball", 0, masks[0]))


def test_a_scene_cut_is_told_by_the_confidence(segmenter):
    before, masks = scene([(120, 100 + 6 * t) for t in range(5)])
    after = [texture(90 + t // 4, base=(120, 110, 150), coarse=20) for t in range(4)]
    answers = run(segmenter, clip([*before.frames, *after]), MaskPrompt("ball", 0, masks[0]))
    held = min(answers[t].confidence["ball"] for t in range(1, 5))
    cut = max(answers[t].confidence["ball"] for t in range(5, 9))
    assert cut < held - 0.1, (held, cut)
