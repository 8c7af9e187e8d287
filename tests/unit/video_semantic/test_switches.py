"""Trained attention with its switches changed: the same weights, smaller windows, nothing unlearned."""

from __future__ import annotations

import pytest
import torch

from backends.core.errors import BadInput
from backends.video_semantic.keys import Radii
from backends.video_semantic.networks import NetworkConfig, SceneNetwork, build
from backends.video_semantic.stream import Stream
from backends.video_semantic.switches import switched
from backends.video_semantic.temporal import TemporalConfig

LEARNED = TemporalConfig(frames=3, start=1, end=3, rho=1.0, width=16)


def network(**more: object) -> SceneNetwork:
    """Random weights, also where training starts with zeros."""
    torch.manual_seed(2)
    config = NetworkConfig(classes=4, **{"looks_back": True, "temporal": LEARNED, **more})
    made = build(config).eval()
    if made.temporal is not None:
        for parameter in (made.temporal.bias, made.temporal.expand.weight):
            torch.nn.init.normal_(parameter, std=0.5)
    return made


def clip() -> list[torch.Tensor]:
    return list(torch.rand(4, 3, 64, 96, generator=torch.Generator().manual_seed(1)))


def test_rows_of_smaller_windows_are_their_own_middles() -> None:
    middle_of_five = [9 + row * 5 + column for row in (1, 2, 3) for column in (1, 2, 3)]
    assert Radii(2, 1, 2).rows_of(Radii(2, 0, 1)) == [4, *middle_of_five]
    assert Radii(3).rows_of(Radii(3)) == list(range(Radii(3).n_keys))
    assert len(Radii(7).rows_of(Radii(3, 1, 2))) == Radii(3, 1, 2).n_keys


@pytest.mark.parametrize("smaller", [{"end": 2}, {"frames": 2}, {"start": 0, "end": 1, "frames": 1}])
def test_smaller_windows_answer_as_if_the_others_had_no_weight(smaller: dict[str, int]) -> None:
    trained = network()
    small = switched(trained, smaller)
    assert small.temporal is not None and trained.temporal is not None
    rows = trained.temporal.radii.rows_of(small.temporal.radii)
    masked = network()
    assert masked.temporal is not None
    with torch.no_grad():
        outside = torch.ones(len(masked.temporal.bias), dtype=torch.bool)
        outside[rows] = False
        masked.temporal.bias[outside] = -1e9
    streams = Stream(small, cut=1.0), Stream(masked, cut=1.0)
    for frame in clip():
        one, other = (stream.push(frame) for stream in streams)
        assert torch.allclose(one, other, atol=1e-4)


def test_what_is_switched_leaves_the_trained_network_alone() -> None:
    trained = network()
    before = [Stream(trained, cut=1.0).push(frame) for frame in clip()[:1]]
    for changed in ({"rho": 0.25}, {"queries": "random"}, {"keys": "copies"}, {}):
        stream, plain = Stream(switched(trained, changed), cut=1.0), Stream(trained, cut=1.0)
        for frame in clip():
            answers = stream.push(frame), plain.push(frame)
        # with all cells looking back, as these were trained, it does not matter how they are chosen
        assert torch.allclose(*answers, atol=1e-5) is not bool(set(changed) & {"rho", "keys"})
    assert torch.equal(before[0], Stream(trained, cut=1.0).push(clip()[0]))
    assert trained.temporal is not None and trained.temporal.rho == LEARNED.rho


def test_what_was_not_learned_is_refused() -> None:
    for changed, message in (
        ({"end": 4, "frames": 4}, "reach beyond"),
        ({"width": 8}, "cannot be changed after training"),
    ):
        with pytest.raises(BadInput, match=message):
            switched(network(), changed)
    with pytest.raises(BadInput, match="nothing to switch"):
        switched(network(looks_back=False), {"rho": 0.5})
