"""A project's policy as a form: what each field is called, what it means, and what may be typed into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from backends.loop.policy import Policy

Kind = Literal["number", "count", "text", "choice"]


@dataclass(frozen=True)
class Field:
    """One field of the form; ``name`` is the policy's."""

    name: str
    label: str
    kind: Kind
    help: str
    unit: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    may_be_empty: bool = False


FIELDS = (
    Field(
        "promote",
        "An accepted version",
        "choice",
        "Serve it at once, or ask here first. A refused one is never served by itself.",
        choices=(("ask", "waits for a person"), ("auto", "is served at once")),
    ),
    Field("min_gain", "Least gain", "number", "Over all held-out clips, against what is served.", "points"),
    Field("max_class_loss", "No class loses more than", "number", "Judged class by class.", "points"),
    Field(
        "enough_class",
        "A class is judged from",
        "count",
        "With fewer labelled frames a class counts in the whole only.",
        "frames on",
    ),
    Field("enough_train", "Train on at least", "count", "With less nothing is trained.", "clips"),
    Field("enough_held_out", "Judge by at least", "count", "They are never trained on.", "held-out clips"),
    Field(
        "max_benchmark_loss",
        "Lose at most on the benchmark",
        "number",
        "Against forgetting. Empty: the change is shown and refuses nothing.",
        "points",
        may_be_empty=True,
    ),
    Field("after_tasks", "Begin by itself after", "count", "0: never by itself.", "submitted tasks"),
    Field("debounce_s", "Wait until it is quiet for", "number", "After the last submitted task.", "seconds"),
    Field("every_h", "Or begin every", "number", "With new work, however little. 0: never.", "hours"),
)
"""What people change here; seed, benchmark folder, trunk and training settings stay with the file."""


def form(policy: Policy) -> list[dict[str, Any]]:
    """The fields with their values, as JSON values."""
    return [
        {
            "name": one.name,
            "label": one.label,
            "kind": one.kind,
            "help": one.help,
            "unit": one.unit,
            "choices": [list(choice) for choice in one.choices] or None,
            "may_be_empty": one.may_be_empty,
            "value": getattr(policy, one.name),
        }
        for one in FIELDS
    ]


def in_words(policy: Policy) -> str:
    """When the next training begins, as a sentence."""
    begins = []
    if policy.after_tasks:
        tasks = "task" if policy.after_tasks == 1 else f"{policy.after_tasks} tasks"
        begins.append(f"after {'each submitted' if policy.after_tasks == 1 else 'every'} {tasks}")
    if policy.every_h:
        begins.append(f"every {policy.every_h:g} hours with new work")
    return f"Begins by itself {' and '.join(begins)}." if begins else "Never begins by itself."
