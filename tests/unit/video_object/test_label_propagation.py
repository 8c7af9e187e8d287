"""The two floors: a mask that stays, and labels that follow similar features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from backends import video_object
from backends.core import masks
from backends.core.errors import BadInput, BadMask
from backends.core.types import Clip, Mask, MaskPrompt, PointPrompt
from backends.trunks.mobilenet_v2 import MobileNetV2
from backends.video_object.first_mask import FirstMaskCopied
from backends.video_object.label_propagation import (
    LabelPropagation,
    PropagationConfig,
    _Known,
    at_stride_8,
    carry,
    load,
)
from backends.video_object.matching import window_index

SIZE_HW = (240, 320)


def drawn(n_frames: int = 6) -> tuple[Clip, list[list[Mask]]]:
    """A striped and a chequered square that move in opposite directions over noise; their true masks."""
    rng = np.random.default_rng(3)
    ground = cv2.resize(rng.integers(60, 200, (30, 40, 3), dtype=np.uint8), SIZE_HW[::-1])
    rows, columns = np.mgrid[:64, :64]
    stripes = np.where((columns // 8 % 2 == 0)[..., None], (250, 20, 20), (250, 240, 30)).astype(np.uint8)
    chequers = np.where(((rows // 8 + columns // 8) % 2 == 0)[..., None], (20, 40, 250), (10, 250, 120))
    frames, truth = [], []
    for t in range(n_frames):
        frame, found = ground.copy(), []
        for texture, top, left in ((stripes, 24, 20 + 12 * t), (chequers, 140, 230 - 12 * t)):
            mask = np.zeros(SIZE_HW, np.bool_)
            mask[top : top + 64, left : left + 64] = True
            frame[mask] = texture.reshape(-1, 3)
            found.append(mask)
        frames.append(frame)
        truth.append(found)
    return Clip("drawn", frames, SIZE_HW, tuple(map(str, range(n_frames)))), truth


def prompts(given: Sequence[Mask], frame: int = 0) -> list[MaskPrompt]:
    return [MaskPrompt(str(number), frame, mask) for number, mask in enumerate(given, 1)]


@pytest.fixture(scope="module")
def propagation() -> LabelPropagation:
    """On the shipped network's trunk."""
    shipped = load_file(Path(video_object.__file__).parent / "weights" / "weights.safetensors")
    trunk = MobileNetV2()
    trunk.load_state_dict(
        {k.removeprefix("trunk."): v.float() for k, v in shipped.items() if k.startswith("trunk.")}
    )
    return LabelPropagation(trunk)


def test_a_copied_mask_stays_and_a_later_one_takes_its_place() -> None:
    clip, truth = drawn()
    later = MaskPrompt("1", 3, truth[3][0])
    answers = list(FirstMaskCopied().segment(clip, [*prompts(truth[0]), later]))
    assert [a.frame_index for a in answers] == list(range(6))
    for answer in answers:
        assert np.array_equal(answer.masks["1"], truth[3 if answer.frame_index >= 3 else 0][0])
        assert np.array_equal(answer.masks["2"], truth[0][1])
    assert answers[0].anchors == {"1", "2"} and answers[3].anchors == {"1"} and not answers[1].anchors


def test_labels_follow_two_moving_textures(propagation: LabelPropagation) -> None:
    clip, truth = drawn()
    found = {a.frame_index: a.masks for a in propagation.segment(clip, prompts(truth[0]))}
    copied = {a.frame_index: a.masks for a in FirstMaskCopied().segment(clip, prompts(truth[0]))}
    assert sorted(found) == list(range(6))
    for number in (1, 2):
        ours = masks.iou(found[5][str(number)], truth[5][number - 1])
        still = masks.iou(copied[5][str(number)], truth[5][number - 1])
        assert ours > 0.6 > still, f"object {number}: IoU {ours:.2f}, copied {still:.2f}"
    assert not (found[5]["1"] & found[5]["2"]).any()


def test_labels_go_back_from_a_later_frame_and_anchors_return_bit_for_bit(
    propagation: LabelPropagation,
) -> None:
    clip, truth = drawn(4)
    answers = {a.frame_index: a for a in propagation.segment(clip, prompts(truth[3], 3))}
    assert sorted(answers) == [0, 1, 2, 3]
    for slot in (0, 1):
        assert np.array_equal(answers[3].masks[str(slot + 1)], truth[3][slot])
        assert masks.iou(answers[0].masks[str(slot + 1)], truth[0][slot]) > 0.6
    assert answers[3].anchors == {"1", "2"} and answers[3].confidence["1"] == 1.0


def test_every_second_cell_of_the_dilated_trunk_is_the_trunks_own() -> None:
    torch.manual_seed(1)
    trunk = MobileNetV2().eval()
    rgb = torch.rand(1, 3, 96, 128) * 2 - 1
    with torch.inference_mode():
        own = rgb
        for layer in trunk.features[:11]:
            own = layer(own)
        dense = at_stride_8(trunk)(rgb)
    assert dense.shape[-2:] == (12, 16) and own.shape[-2:] == (6, 8)
    torch.testing.assert_close(dense[..., ::2, ::2], own, rtol=1e-4, atol=1e-5)


def test_identical_frames_keep_their_labels_and_shares_sum_to_one() -> None:
    torch.manual_seed(2)
    features = torch.nn.functional.normalize(torch.randn(20, 64), dim=1)
    labels = torch.softmax(4 * torch.randn(20, 3), 1)
    index, inside = window_index((4, 5), 1, torch.device("cpu"))
    known = _Known(features, labels)
    sharp = PropagationConfig(top=3, temperature=0.01)
    carried = carry(features, [known, known], index, inside, sharp)
    torch.testing.assert_close(carried, labels, atol=1e-3, rtol=0)
    soft = carry(features, [known], index, inside, PropagationConfig())
    torch.testing.assert_close(soft.sum(1), torch.ones(20))


def test_a_cell_looks_no_further_than_its_window() -> None:
    """The only similar cell lies three cells away: seen with radius 3, not with radius 2."""
    features = torch.eye(8)[:7]
    before = torch.eye(8)[[3, 7, 7, 0, 7, 7, 7]]
    labels = torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 1.0]] + [[1.0, 0.0]] * 3)
    for radius, share in ((3, 1.0), (2, 0.0)):
        index, inside = window_index((1, 7), radius, torch.device("cpu"))
        config = PropagationConfig(radius=radius, top=1)
        carried = carry(features, [_Known(before, labels)], index, inside, config)
        assert carried[0, 1] == share


def test_bad_input_is_refused(propagation: LabelPropagation, tmp_path) -> None:
    clip, truth = drawn(3)
    for method in (FirstMaskCopied(), propagation):
        with pytest.raises(BadInput, match="no mask to start from"):
            method.segment(clip, [])
        with pytest.raises(BadInput, match="turn points and boxes into a mask"):
            method.segment(clip, [PointPrompt("1", 0, 3, 3)])
        with pytest.raises(BadMask, match="the clip has 3 frames"):
            method.segment(clip, prompts(truth[0], 3))
    with pytest.raises(BadInput, match="no such file"):
        load(tmp_path / "trunk.pth")
