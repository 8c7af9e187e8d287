"""The learner goes on from its file exactly where it was, and the running average follows the weights."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from backends.core.errors import BadInput
from backends.training.learner import Learner, Schedule
from backends.training.settings import config_from


def learner(seed=0):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))
    return Learner(network, Schedule(steps=40, warm_up=4, average=0.9), trunk=network[0])


def descend(one, steps):
    for _ in range(steps):
        one.set_rates()
        rgb = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(one.step))
        one.descend((one.network(rgb) - 1).square().mean())


def test_going_on_from_the_file_gives_what_an_undisturbed_run_gives(tmp_path):
    whole = learner()
    descend(whole, 9)
    first = learner()
    descend(first, 5)
    first.save(tmp_path / "checkpoint.safetensors")
    second = learner(seed=7)
    second.load(tmp_path / "checkpoint.safetensors")
    descend(second, 4)
    assert second.step == 9
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
    for name, value in whole.average.items():
        assert torch.equal(value, second.average[name]), name


def test_the_trunk_learns_at_its_own_rate_and_both_follow_the_schedule():
    one = learner()
    rates = [one.set_rates()]
    descend(one, 4)
    rates.append(one.set_rates())
    descend(one, 36)
    rates.append(one.set_rates())
    assert rates[0]["rate"] == pytest.approx(1e-3 / 4) and rates[0]["trunk_rate"] == pytest.approx(1e-4 / 4)
    assert rates[1]["rate"] == pytest.approx(1e-3)
    assert rates[2]["rate"] == pytest.approx(0.02 * 1e-3)


def test_only_what_fits_is_taken_over():
    one, other = learner(), learner(seed=3)
    state = dict(other.network.state_dict()) | {"2.weight": torch.zeros(9, 4, 1, 1)}
    assert one.take_over(state) == ["2.weight"]
    assert torch.equal(one.network[0].weight, other.network[0].weight)
    assert torch.equal(one.average["0.weight"], other.network[0].weight)


def test_a_loss_that_is_no_number_is_refused_with_the_step():
    with pytest.raises(FloatingPointError, match="step 0"):
        learner().refuse_nonsense(float("nan"))


@dataclass(frozen=True)
class Inner:
    sizes: tuple[int, ...] = (1,)


@dataclass(frozen=True)
class Outer:
    steps: int = 4
    inner: Inner = field(default_factory=Inner)


def test_settings_are_read_from_json_and_unknown_or_misshapen_ones_refused():
    assert config_from(Outer, {"inner": {"sizes": [2, 3]}}) == Outer(4, Inner((2, 3)))
    with pytest.raises(BadInput, match=r"inner\.'size'; known: sizes"):
        config_from(Outer, {"inner": {"size": 1}})
    with pytest.raises(BadInput, match="'inner' wants a JSON object"):
        config_from(Outer, {"inner": 3})
