"""What a project wants of a new model version before it is served, and when one is trained at all.

One JSON file per project, written by people or by the console. What it does not say has the default below.
Figures are points of the algorithm's metric, 0 to 100.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from math import isfinite
from pathlib import Path
from typing import Any, Literal, get_args

from backends.core.errors import BadInput
from backends.loop.files import write_json

Promote = Literal["ask", "auto"]


@dataclass(frozen=True)
class Policy:
    """One project's. Raises BadInput for a value that cannot be meant, naming the field."""

    promote: Promote = "ask"
    """``auto`` serves an accepted version at once, ``ask`` waits for a person to say so."""
    min_gain: float = 0.5
    """Points that the candidate has to be better by over all held-out clips."""
    max_class_loss: float = 3.0
    """Points that no class may lose."""
    enough_class: int = 2
    """A class is judged by itself from so many scored frames on; one with fewer counts in the whole only."""
    enough_train: int = 3
    """Least clips (weak_shot: photos) to train on."""
    enough_held_out: int = 1
    """Least held-out clips (weak_shot: photos) to judge by."""
    max_benchmark_loss: float | None = None
    """Points that may be lost on the benchmark; None: the change is shown and refuses nothing."""
    benchmark: str = ""
    """A folder to score against forgetting; empty: what ships (video_object), else nothing is measured."""
    after_tasks: int = 0
    """Tasks submitted since the last run that begin the next one; 0: never by itself."""
    debounce_s: float = 120.0
    """Quiet seconds after the last submitted task before a run begins."""
    every_h: float = 0.0
    """Hours after which new work begins a run, however little; 0: never."""
    seed: int = 0
    """Of the training."""
    trunk: str = ""
    """Where no version is there to start from: a file of ImageNet weights, or the word ``download``."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Training settings that differ from the recipe, nested as in a training config."""

    def __post_init__(self) -> None:
        if self.promote not in get_args(Promote):
            raise BadInput(f"policy promote={self.promote!r}; it can be {' or '.join(get_args(Promote))}")
        for name in ("min_gain", "max_class_loss", "debounce_s", "every_h"):
            _number(name, getattr(self, name))
        if self.max_benchmark_loss is not None:
            _number("max_benchmark_loss", self.max_benchmark_loss)
        for name in ("enough_class", "enough_train", "enough_held_out", "after_tasks", "seed"):
            _count(name, getattr(self, name))
        for name in ("benchmark", "trunk"):
            if not isinstance(value := getattr(self, name), str):
                raise BadInput(f"policy {name}={value!r}; wants a text")
        if not isinstance(self.training, Mapping):
            raise BadInput(f"policy training={self.training!r}; wants a JSON object of training settings")

    def to_json(self) -> dict[str, Any]:
        """Every field by name, for JSON."""
        return asdict(self)

    def changed(self, settings: Sequence[str]) -> Policy:
        """The same with ``KEY=VALUE`` applied, VALUE in JSON, ``training.NAME=VALUE`` for the training's.

        Raises BadInput for an unknown key and a value that cannot be meant.
        """
        values = json.loads(json.dumps(self.to_json()))
        for item in settings:
            key, equals, text = item.partition("=")
            if not equals:
                raise BadInput(f"policy {item!r}: wants KEY=VALUE")
            _set(values, key, _value(text))
        return policy_from(values)


def policy_from(values: Mapping[str, Any]) -> Policy:
    """Build a policy from JSON values; unknown names are refused with the list of known ones."""
    known = {item.name for item in fields(Policy)}
    if unknown := sorted(set(values) - known):
        raise BadInput(f"unknown policy field {unknown[0]!r}; known: {', '.join(sorted(known))}")
    return replace(Policy(), **values)


def read_policy(path: Path) -> Policy:
    """The policy in ``path``, or the default where there is no such file. Raises BadInput, naming it."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Policy()
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: no policy ({error}); mend it or remove it") from error
    if not isinstance(values, dict):
        raise BadInput(f"{path}: no policy; wants a JSON object")
    try:
        return policy_from(values)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def write_policy(path: Path, policy: Policy) -> None:
    """The whole new file or the old one."""
    write_json(path, policy.to_json())


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    if parents and parents[0] != "training":
        raise BadInput(f"policy {key!r}: only training has names below it, as in training.steps=200")
    for parent in parents:
        inner = values.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise BadInput(f"policy {key!r}: {parent} is {inner!r}, no object with names below it")
        values = inner
    values[last] = value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value) or value < 0:
        raise BadInput(f"policy {name}={value!r}; wants a number of 0 or more")


def _count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadInput(f"policy {name}={value!r}; wants a whole number of 0 or more")
