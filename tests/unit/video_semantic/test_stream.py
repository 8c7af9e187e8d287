"""Frames one by one: the same answers as all at once, a bounded past, and when it is forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backends.video_semantic.stream import Stream, apart, colours, together
from backends.video_semantic.temporal import SparseTemporal, TemporalConfig

CONFIG = TemporalConfig(frames=3, start=1, end=2, width=16, heads=2)


class Small(nn.Module):
    """A network with the seams of the real ones: stride 4, two classes."""

    def __init__(self, config: TemporalConfig | None = CONFIG):
        super().__init__()
        torch.manual_seed(2)
        self.stem, self.head = nn.Conv2d(3, 12, 4, 4), nn.Conv2d(12, 2, 1)
        self.temporal = None if config is None else SparseTemporal(12, config)
        self.encoded = 0
        if self.temporal is not None:
            nn.init.normal_(self.temporal.expand.weight, std=0.5)
            nn.init.normal_(self.temporal.correct.weight, std=0.5)

    def encode(self, rgb: Tensor) -> Tensor:
        self.encoded += len(rgb)
        features: Tensor = self.stem(F.pad(rgb, (0, -rgb.shape[-1] % 4, 0, -rgb.shape[-2] % 4)))
        return features

    def decode(self, features: Tensor, size_hw: tuple[int, int]) -> Tensor:
        logits = F.interpolate(self.head(features), scale_factor=4, mode="bilinear")
        return logits[..., : size_hw[0], : size_hw[1]]


def frames(count: int, hw: tuple[int, int] = (37, 50), seed: int = 1) -> Tensor:
    """A drifting texture: neighbours are alike."""
    made = torch.rand(3, hw[0] + count, hw[1] + count, generator=torch.Generator().manual_seed(seed))
    return torch.stack([made[:, i : i + hw[0], i : i + hw[1]] for i in range(count)])


@pytest.mark.parametrize(
    "config", [CONFIG, replace(CONFIG, rho=1.0, first="self"), replace(CONFIG, keys="copies")]
)
def test_streamed_is_batched_and_each_frame_is_encoded_once(config: TemporalConfig) -> None:
    network, clip = Small(config).eval(), frames(8)
    stream = Stream(network)
    one_by_one = torch.cat([stream.push(frame) for frame in clip])
    assert network.encoded == 8
    with torch.no_grad():
        assert torch.allclose(together(network, clip), one_by_one, atol=1e-5)
        alone = network.decode(network.encode(clip), (37, 50))
    assert not torch.allclose(alone[4:], one_by_one[4:], atol=1e-2)


def test_the_answer_is_that_of_the_module_on_the_last_frames() -> None:
    network, clip = Small().eval(), frames(6)
    stream = Stream(network)
    last = [stream.push(frame) for frame in clip][-1]
    assert network.temporal is not None
    with torch.no_grad():
        features = network.temporal.over(network.encode(clip[2:])[None])
        assert torch.allclose(network.decode(features, (37, 50)), last, atol=1e-5)


def test_no_more_than_t_frames_are_held() -> None:
    stream = Stream(Small().eval())
    held = []
    for frame in frames(9):
        stream.push(frame)
        held.append(len(stream))
    assert held == [1, 2, 3, 3, 3, 3, 3, 3, 3]


@pytest.mark.parametrize("how", ["cut", "size", "reset"])
def test_another_scene_another_size_and_a_word_empty_the_past(how: str) -> None:
    network = Small().eval()
    stream, before = Stream(network), frames(4)
    after = {"cut": frames(1)[0] * 0.2, "size": frames(1, (41, 50))[0], "reset": before[3]}[how]
    for frame in before:
        stream.push(frame)
    if how == "reset":
        stream.reset()
    found = stream.push(after)
    assert len(stream) == 1
    assert torch.equal(found, Stream(network).push(after))


def test_a_cut_can_be_ignored() -> None:
    stream = Stream(Small().eval(), cut=2.0)
    for frame in (frames(1)[0], frames(1)[0] * 0.2):
        stream.push(frame)
    assert len(stream) == 2


def test_a_network_without_attention_keeps_nothing() -> None:
    network, clip = Small(None).eval(), frames(3)
    stream = Stream(network)
    found = torch.cat([stream.push(frame) for frame in clip])
    with torch.no_grad():
        assert torch.allclose(together(network, clip), found, atol=1e-5)
    assert len(stream) == 0


def test_colours_of_a_drifting_scene_stay_and_those_of_another_do_not() -> None:
    clip = frames(2)
    assert (
        apart(colours(clip[:1]), colours(clip[1:]))
        < 0.2
        < 0.9
        < apart(colours(clip[:1]), colours(clip[:1] * 0.2))
    )
