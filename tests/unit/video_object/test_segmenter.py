"""What the segmenter promises whatever its weights: every frame once, anchors untouched, clear refusals."""

import numpy as np
import pytest
import torch

from backends.core.errors import BadInput, BadMask, SetupFault
from backends.core.types import Clip, MaskPrompt, PointPrompt
from backends.video_object.geometry import Geometry
from backends.video_object.network import Network, NetworkConfig, aggregate
from backends.video_object.segmenter import VideoObjectSegmenter, _slot_logits, load
from backends.video_object.weights_file import save_weights

SIZE = (120, 160)


@pytest.fixture(scope="module")
def segmenter():
    torch.manual_seed(0)
    return VideoObjectSegmenter(Network(NetworkConfig(embedding=32)), "video_object-test")


@pytest.fixture(scope="module", params=["torch", "onnx"])
def either(segmenter, request, tmp_path_factory):
    """The segmenter with its network run by torch, then by its exported graphs."""
    if request.param == "torch":
        return segmenter
    folder = tmp_path_factory.mktemp("graphs")
    weights = folder / "weights.safetensors"
    save_weights(segmenter.network.state_dict(), segmenter.network.config, weights)
    return load(weights, engine="onnx", graphs=folder, threads=1)


def clip(frames: int, size=SIZE) -> Clip:
    rng = np.random.default_rng(0)
    data = [rng.integers(0, 255, (*size, 3), dtype=np.uint8) for _ in range(frames)]
    return Clip("noise", data, size, tuple(f"{i:05d}" for i in range(frames)))


def disc(row: int, column: int, radius: int = 20, size=SIZE):
    y, x = np.ogrid[: size[0], : size[1]]
    return (y - row) ** 2 + (x - column) ** 2 < radius**2


@pytest.mark.parametrize("anchor", [0, 2, 5])
def test_every_frame_comes_once_and_the_anchor_bit_for_bit(segmenter, anchor):
    mask = disc(60, 80)
    answers = list(segmenter.segment(clip(6), [MaskPrompt("cat", anchor, mask)]))
    assert sorted(a.frame_index for a in answers) == list(range(6))
    for answer in answers:
        assert answer.masks["cat"].shape == SIZE and answer.masks["cat"].dtype == np.bool_
        assert 0 <= answer.confidence["cat"] <= 1
    [anchored] = [a for a in answers if a.anchors]
    assert anchored.frame_index == anchor and np.array_equal(anchored.masks["cat"], mask)


def test_objects_given_on_different_frames_and_twice(segmenter):
    cat, dog, later = disc(40, 40), disc(80, 120), disc(50, 60)
    prompts = [MaskPrompt("cat", 0, cat), MaskPrompt("cat", 4, later), MaskPrompt("dog", 2, dog)]
    answers = {a.frame_index: a for a in segmenter.segment(clip(6), prompts)}
    assert sorted(answers) == list(range(6))
    assert all(set(a.masks) == {"cat", "dog"} for a in answers.values())
    assert answers[0].anchors == {"cat"} and answers[2].anchors == {"dog"}
    assert np.array_equal(answers[4].masks["cat"], later)
    assert not (answers[2].masks["cat"] & dog).any(), "nothing may be written over an anchor"


def test_a_hint_is_gone_on_from_but_not_returned_as_an_anchor(segmenter):
    prompts = [MaskPrompt("cat", 0, disc(60, 80)), MaskPrompt("cat", 3, disc(60, 90), is_anchor=False)]
    answers = {a.frame_index: a for a in segmenter.segment(clip(5), prompts)}
    assert answers[3].anchors == frozenset() and answers[0].anchors == {"cat"}


@pytest.mark.parametrize("frames", [[0], [4], [0, 6], [2, 7]])
@pytest.mark.parametrize("stopped_after", [1, 3, 6])
def test_a_stopped_run_goes_on_exactly(either, frames, stopped_after):
    anchors = [MaskPrompt("cat", t, disc(60, 60 + 5 * t)) for t in frames]
    anchors.append(MaskPrompt("dog", 5, disc(30, 130, 15)))
    whole = list(either.segment(clip(9), anchors))
    states = [
        MaskPrompt(name, a.frame_index, a.masks[name], is_anchor=False, soft=soft)
        for a in whole[:stopped_after]
        for name, soft in a.soft.items()
        if name not in a.anchors
    ]
    resumed = {a.frame_index: a for a in either.segment(clip(9), [*anchors, *states])}
    for answer in whole[stopped_after:]:
        again = resumed[answer.frame_index]
        assert again.confidence == answer.confidence
        for name, mask in answer.masks.items():
            assert np.array_equal(again.masks[name], mask), (answer.frame_index, name)


def test_frames_that_are_given_whole_are_not_looked_at_again(segmenter):
    """Resuming costs only what is left: finished frames come in as hints."""
    looked_at = []

    class Watched(list):
        def __getitem__(self, index):
            looked_at.append(index)
            return super().__getitem__(index)

    whole = clip(8)
    start = MaskPrompt("cat", 0, disc(60, 80))
    finished = [MaskPrompt("cat", t, disc(60, 80 + t), is_anchor=False) for t in range(1, 5)]
    watched = Clip("noise", Watched(whole.frames), SIZE, whole.names)
    answers = {a.frame_index: a.masks["cat"] for a in segmenter.segment(watched, [start, *finished])}
    assert sorted(answers) == list(range(8))
    assert set(looked_at) == {0, 4, 5, 6, 7}, "the template's frame, the last finished one and the rest"
    for hint in finished:
        assert (answers[hint.frame_index] ^ hint.mask).mean() < 0.02


def test_the_result_does_not_depend_on_how_many_objects_are_decoded_together(segmenter, monkeypatch):
    prompts = [MaskPrompt(f"o{i}", 0, disc(30 + 20 * i, 40 + 30 * i, 10)) for i in range(3)]
    together = [a.masks for a in segmenter.segment(clip(3), prompts)]
    monkeypatch.setattr("backends.video_object.walk.SLOTS_AT_ONCE", 1)
    apart = [a.masks for a in segmenter.segment(clip(3), prompts)]
    for one, other in zip(together, apart, strict=True):
        assert all((one[k] != other[k]).mean() < 1e-3 for k in one)  # sums in another order round otherwise


def test_a_clip_of_one_frame_and_a_mask_of_one_pixel(segmenter):
    mask = np.zeros(SIZE, bool)
    mask[10, 10] = True
    [answer] = segmenter.segment(clip(1), [MaskPrompt("speck", 0, mask)])
    assert np.array_equal(answer.masks["speck"], mask)


@pytest.mark.parametrize(
    ("prompts", "error", "says"),
    [
        ([], BadInput, "no mask to start from"),
        ([PointPrompt("cat", 0, 1, 1)], BadInput, "into a mask first"),
        ([MaskPrompt("cat", 9, disc(60, 80))], BadMask, "the clip has 4 frames"),
        ([MaskPrompt("cat", 0, disc(9, 9, size=(60, 80)))], BadMask, "is 80x60; the frames are 160x120"),
        ([MaskPrompt("cat", 0, np.zeros(SIZE, bool))], BadMask, "'cat' has only empty masks"),
    ],
)
def test_refusals_name_the_item(segmenter, prompts, error, says):
    with pytest.raises(error, match=says):
        segmenter.segment(clip(4), prompts)


@pytest.mark.parametrize("size", [(480, 854), (1080, 1920), (37, 53), (20, 400), (2160, 3840)])
def test_geometry_stays_in_range_and_labels_come_back_at_the_frames_size(size):
    geometry = Geometry.of(size)
    assert all(side % 16 == 0 for side in geometry.padded_hw)
    assert geometry.grid_hw[0] * geometry.grid_hw[1] >= 128
    assert max(geometry.scaled_hw) <= 1280
    mask = disc(size[0] // 2, size[1] // 2, min(size) // 3, size)
    soft = geometry.soft_mask(mask, torch.device("cpu"))
    labels = geometry.labels(_slot_logits(soft[None]))
    assert labels.shape == size
    assert (mask & (labels == 1)).sum() / (mask | (labels == 1)).sum() > 0.8


def test_one_object_keeps_its_sigmoid_and_slots_sum_to_one():
    logits = torch.randn(2, 1, 5)
    assert torch.allclose(aggregate(logits).softmax(1)[:, 1], logits[:, 0].sigmoid(), atol=1e-6)
    several = aggregate(torch.randn(2, 3, 5)).softmax(1)
    assert torch.allclose(several.sum(1), torch.ones(2, 5), atol=1e-6)
    assert torch.allclose(_slot_logits(several[0, 1:]).softmax(0), several[0], atol=1e-3)


def test_weights_go_round_and_foreign_files_are_refused(tmp_path, segmenter):
    path = tmp_path / "weights.safetensors"
    save_weights(segmenter.network.state_dict(), segmenter.network.config, path)
    again = load(path)
    assert again.network.config == segmenter.network.config
    path.write_bytes(b"not safetensors")
    with pytest.raises(SetupFault, match="cannot be read"):
        load(path)
    with pytest.raises(SetupFault, match="cannot be read"):
        load(tmp_path / "absent.safetensors")
