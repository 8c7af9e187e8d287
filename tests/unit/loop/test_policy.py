"""The policy: defaults, what cannot be meant, changes from the command line, the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backends.core.errors import BadInput
from backends.loop.policy import Policy, policy_from, read_policy, write_policy


def test_without_a_file_the_defaults_hold_and_nothing_is_served_unasked(tmp_path: Path) -> None:
    policy = read_policy(tmp_path / "policy.json")
    assert policy == Policy()
    assert policy.promote == "ask"


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    policy = Policy(promote="auto", min_gain=1.5, max_benchmark_loss=2, training={"sample": {"paste": 0.5}})
    write_policy(tmp_path / "p" / "policy.json", policy)
    assert read_policy(tmp_path / "p" / "policy.json") == policy


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"min_gian": 1}, "'min_gian'; known: after_tasks"),
        ({"promote": "yes"}, "promote='yes'; it can be ask or auto"),
        ({"min_gain": -1}, "min_gain=-1; wants a number"),
        ({"min_gain": float("nan")}, "min_gain=nan"),
        ({"max_class_loss": "1"}, "max_class_loss='1'"),
        ({"after_tasks": 2.5}, "after_tasks=2.5; wants a whole number"),
        ({"enough_train": True}, "enough_train=True"),
        ({"max_benchmark_loss": -0.1}, "max_benchmark_loss=-0.1"),
        ({"trunk": 3}, "trunk=3; wants a text"),
        ({"training": [1]}, "training=\\[1\\]; wants a JSON object"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(values: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        policy_from(values)


def test_changes_from_the_command_line_reach_fields_and_training() -> None:
    policy = Policy(training={"sample": {"paste": 0.5}, "steps": 9})
    changed = policy.changed(["promote=auto", "min_gain=2", "training.sample.jitter=0", "training.steps=4"])
    assert (changed.promote, changed.min_gain) == ("auto", 2)
    assert changed.training == {"sample": {"paste": 0.5, "jitter": 0}, "steps": 4}
    assert policy.training["steps"] == 9, "the old one stays as it was"


@pytest.mark.parametrize("item", ["min_gain", "steps=4", "sample.paste=1", "training.steps.deep=1"])
def test_a_change_that_goes_nowhere_is_refused(item: str) -> None:
    with pytest.raises(BadInput):
        Policy(training={"steps": 3}).changed([item])


@pytest.mark.parametrize("text", ["{", "[]", '{"min_gain": "much"}', "\udcff"])
def test_a_spoilt_file_is_refused_by_its_path(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadInput, match=r"policy\.json"):
        read_policy(path)
