"""Class rows that go over by name, whatever network they are in and whatever order the classes have."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from backends.training.carry import carried, class_rows
from backends.video_semantic.networks import NetworkConfig, build
from backends.weak_shot import subjects


class Head(nn.Module):
    def __init__(self, n: int, lead: int = 0):
        super().__init__()
        self.trunk = nn.Conv2d(3, 4, 1)
        self.classes = nn.Conv2d(4, n + lead, 1)


@pytest.mark.parametrize("lead", [0, 1])
def test_rows_go_by_name_and_new_classes_begin_fresh(lead: int) -> None:
    old, new = Head(3, lead), Head(4, lead)
    make = partial(Head, lead=lead)
    found = carried(old.state_dict(), ("a", "b", "c"), new, ("c", "new", "a", "d"), make)
    before, after = old.classes.weight, found["classes.weight"]
    assert torch.equal(after[lead + 0], before[lead + 2])
    assert torch.equal(after[lead + 2], before[lead + 0])
    assert torch.equal(after[lead + 1], new.classes.weight[lead + 1])
    assert torch.equal(after[:lead], before[:lead])
    assert torch.equal(found["trunk.weight"], old.trunk.weight)


def test_as_many_classes_of_other_names_are_not_taken_for_the_same() -> None:
    old, new = Head(2), Head(2)
    found = carried(old.state_dict(), ("a", "b"), new, ("b", "x"), Head)
    assert torch.equal(found["classes.bias"][0], old.classes.bias[1])
    assert torch.equal(found["classes.bias"][1], new.classes.bias[1])


def test_another_networks_rows_are_left_alone() -> None:
    odd = {
        "classes.weight": torch.zeros(9, 4, 1, 1),
        "classes.bias": torch.zeros(9),
        "unheard.of": torch.zeros(1),
    }
    new = Head(2)
    found = carried(odd, ("a", "b"), new, ("a", "b"), Head)
    assert torch.equal(found["classes.bias"], new.classes.bias)
    assert "unheard.of" not in found


@pytest.mark.parametrize("encoder", ["mobilenet_v2", "psp18", "bise18"])
def test_heads_of_whole_scenes_are_found(encoder: str) -> None:
    def make(n: int) -> nn.Module:
        return build(NetworkConfig(encoder=encoder, classes=n))

    rows = class_rows(make, 5)
    assert set(rows.values()) == {0}
    assert any(name.startswith("decoder.") for name in rows) and any(name.startswith("aux.") for name in rows)


@pytest.mark.parametrize(
    ("kind", "lead"), [("classifier", 0), ("seam", 0), ("shares", 1), ("objects", 1), ("segmentation", 1)]
)
def test_heads_of_the_weak_shot_networks_are_found(kind: str, lead: int) -> None:
    rows = class_rows(partial(subjects.build, kind, "mobilenet_v2"), 4)
    assert rows and set(rows.values()) == {lead}


def test_networks_without_classes_have_no_class_rows() -> None:
    assert class_rows(partial(subjects.build, "affinity", "mobilenet_v2"), 4) == {}
