"""Attention over time against the dense reference, its gradients, its start, its switches."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from backends.core.errors import BadInput
from backends.video_semantic import attention
from backends.video_semantic.temporal import SparseTemporal, TemporalConfig
from tests.unit.video_semantic.dense import dense

SMALL = TemporalConfig(frames=3, start=1, end=3, step=1, rho=0.5, width=16, heads=2)
EVERYWHERE = replace(SMALL, rho=1.0, start=13, end=13)


def module(config: TemporalConfig, channels: int = 12) -> SparseTemporal:
    """Random weights everywhere, also where training starts with zeros or multiples of the identity."""
    torch.manual_seed(3)
    made = SparseTemporal(channels, config)
    for parameter in (made.bias, made.expand.weight, made.expand.bias, made.correct.weight):
        nn.init.normal_(parameter, std=0.5)
    for layer in (made.to_query, made.to_key, made.to_value, made.merge):
        nn.init.normal_(layer.weight, std=0.25)
    return made.eval()


def clip(frames: int, hw: tuple[int, int] = (11, 13), channels: int = 12, batch: int = 2) -> Tensor:
    return torch.randn(batch, frames, channels, *hw, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize(
    "config", [EVERYWHERE, replace(SMALL, rho=1.0), replace(SMALL, rho=1.0, start=0, step=2)]
)
@pytest.mark.parametrize("hw", [(11, 13), (3, 2), (8, 16)])
def test_all_queries_give_what_the_dense_reference_gives(config: TemporalConfig, hw: tuple[int, int]) -> None:
    stt = module(config)
    frames = [stt.project(frame) for frame in clip(4, hw).unbind(1)]
    with torch.no_grad():
        found = stt(frames[3], [frame.memory for frame in frames[:3]])
        assert torch.allclose(found, dense(stt, frames[3], frames[:3]), atol=1e-5)
        assert not torch.allclose(found, frames[3].features, atol=1e-2)


@pytest.mark.parametrize("queries", ["nsm", "random", "gradient"])
def test_selected_cells_are_the_dense_ones_and_all_others_stay_as_they_were(queries: str) -> None:
    stt = module(replace(SMALL, queries=queries))
    frames = [stt.project(frame) for frame in clip(4).unbind(1)]
    chosen = stt.selected(frames[3])[:, None]
    assert chosen.sum((1, 2, 3)).tolist() == [72, 72]  # half of 143, to even
    with torch.no_grad():
        found = stt(frames[3], [frame.memory for frame in frames[:3]])
        assert torch.equal(found.where(~chosen, 0), frames[3].features.where(~chosen, 0))
        wanted = dense(stt, frames[3], frames[:3])
    assert torch.allclose(found.where(chosen, 0), wanted.where(chosen, 0), atol=1e-5)


def test_chunks_of_any_size_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    stt = module(SMALL)
    whole = stt.over(clip(4))
    monkeypatch.setattr(attention, "SCORES", 1)  # one tile at a time
    assert torch.allclose(stt.over(clip(4)), whole, atol=1e-6)


def test_a_fresh_module_changes_nothing() -> None:
    torch.manual_seed(1)
    stt, features = SparseTemporal(12, SMALL), clip(4)
    assert torch.equal(stt.over(features), features[:, -1])
    stt.over(features).square().sum().backward()
    for layer in (stt.expand, stt.correct):
        assert layer.weight.grad is not None and layer.weight.grad.abs().max() > 0  # it can leave zero


def test_a_fresh_module_reads_what_resembles_the_query() -> None:
    torch.manual_seed(1)
    stt, features = SparseTemporal(12, replace(SMALL, rho=1.0)), clip(2)
    features[:, 1] = features[:, 0]  # nothing moved, so each cell finds itself
    current, past = (stt.project(features[:, at]) for at in (1, 0))
    plan = stt.plan(current, 1)
    read = stt.read(current, plan, [past.memory])
    own = stt.to_value(current.reduced.flatten(0, 2)[plan.order])
    likeness = torch.cosine_similarity(read, own).mean()
    others = torch.cosine_similarity(read, own.roll(1, 0)).mean()
    assert likeness > 0.9 > 0.4 > others


@pytest.mark.parametrize("config", [replace(SMALL, rho=1.0), EVERYWHERE])
def test_gradients_are_the_dense_ones_for_weights_and_past(config: TemporalConfig) -> None:
    stt = module(config)
    weigh = torch.randn(2, 12, 11, 13, generator=torch.Generator().manual_seed(2))
    names = [name for name, _ in stt.named_parameters()]
    gradients = []
    for way in ("tiles", "dense"):
        features = clip(4).requires_grad_()
        frames = [stt.project(frame) for frame in features.unbind(1)]
        past = [frame.memory for frame in frames[:3]]
        out = stt(frames[3], past) if way == "tiles" else dense(stt, frames[3], frames[:3])
        gradients.append(torch.autograd.grad((out * weigh).sum(), [features, *stt.parameters()]))
    for name, found, wanted in zip(["features", *names], *gradients, strict=True):
        assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max())), name
    assert gradients[0][0][:, 0].abs().max() > 0  # the oldest frame learns as well


def test_gradients_with_a_selection_agree_with_differences() -> None:
    stt = module(replace(SMALL, queries="random", frames=2, end=2, width=8)).double()
    features = clip(3, (5, 9), batch=1).double()[:, :, :12].requires_grad_()
    assert torch.autograd.gradcheck(stt.over, (features,), fast_mode=True)


def test_the_past_may_be_cut_off_from_the_gradient() -> None:
    features = clip(4).requires_grad_()
    module(SMALL).over(features, detach_past=True).sum().backward()
    assert features.grad is not None
    assert features.grad[:, :-1].abs().max() == 0 < features.grad[:, -1].abs().max()


def test_rho_0_and_no_past_leave_the_frame_alone() -> None:
    stt, features = module(SMALL), clip(1)
    assert torch.equal(stt.over(features), features[:, 0])
    stt.rho = 0.0
    assert torch.equal(stt.over(clip(4)), clip(4)[:, -1])


def test_a_first_frame_may_look_at_itself() -> None:
    stt = module(replace(SMALL, rho=1.0, first="self"))
    frame = stt.project(clip(1)[:, 0])
    assert torch.allclose(stt(frame, []), dense(stt, frame, [frame]), atol=1e-5)


def test_copies_of_the_current_frame_know_nothing_of_the_past() -> None:
    stt = module(replace(SMALL, rho=1.0, keys="copies"))
    frames = [stt.project(frame) for frame in clip(4).unbind(1)]
    found = stt(frames[3], [frame.memory for frame in frames[:3]])
    assert torch.allclose(found, dense(stt, frames[3], [frames[3]] * 3), atol=1e-5)
    assert torch.equal(found, stt(frames[3], []))


def test_fewer_frames_are_fine_and_older_ones_are_left_out() -> None:
    stt = module(replace(SMALL, rho=1.0))
    frames = [stt.project(frame) for frame in clip(6).unbind(1)]
    memories = [frame.memory for frame in frames]
    assert torch.allclose(stt(frames[5], memories[4:5]), dense(stt, frames[5], frames[4:5]), atol=1e-5)
    assert torch.equal(stt(frames[5], memories[:5]), stt(frames[5], memories[2:5]))


def test_another_size_in_the_past_is_refused() -> None:
    stt = module(SMALL)
    small, large = stt.project(clip(1)[:, 0]), stt.project(clip(1, (12, 13))[:, 0])
    with pytest.raises(BadInput, match="11, 13"):
        stt(large, [small.memory])


@pytest.mark.parametrize(
    "wrong",
    [{"heads": 3}, {"rho": 1.5}, {"frames": 0}, {"start": 4}, {"queries": "best"}, {"keys": "x"}, {"ffn": 0}],
)
def test_what_cannot_be_built_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        SparseTemporal(12, replace(SMALL, **wrong))  # type: ignore[arg-type]


def test_way_back_keeps_no_scores() -> None:
    """Saved for the backward pass: inputs and the table, not one number per query and key."""
    stt, kept = module(replace(SMALL, rho=1.0, start=5, end=5)), []
    features = clip(4, (32, 40), batch=1).requires_grad_()

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        stt.over(features)
    scores = stt.heads * 32 * 40 * stt.radii.n_keys
    assert max(kept) < scores / 4


def test_what_was_made_while_predicting_serves_a_training_too() -> None:
    stt = module(
        replace(SMALL, start=2, end=4)
    )  # windows that no other test has: nothing is kept of them yet
    with torch.inference_mode():
        stt.over(clip(4))
    stt.over(clip(4).requires_grad_()).sum().backward()
    assert stt.bias.grad is not None and stt.bias.grad.abs().max() > 0
