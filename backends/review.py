"""The review order: pictures whose masks a machine made, the doubtful ones first.

Trust is the model's own word (0..1, per class); a picture is as doubtful as its worst class. What somebody
saved after the masks were made has been looked at, and leaves the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backends.ledger import MadeMasks
from backends.notices import Event

DOUBTFUL = 0.5
"""Trust below this is pointed out one by one."""

_SAVED = frozenset({"ANNOTATION_CREATED", "ANNOTATION_UPDATED"})


@dataclass(frozen=True)
class Review:
    """One picture to look at; ``score`` is the mean trust, as its prediction carries it."""

    task_id: int
    project_id: int
    reference: str
    score: float
    worst: str
    worst_trust: float


def review_order(made: Iterable[MadeMasks], events: Iterable[Event]) -> list[Review]:
    """Unreviewed pictures by their worst class's trust, lowest first."""
    saved_at = last_saved(events)
    found = [
        _review(item) for item in made if item.trust and saved_at.get(item.task_id, 0.0) <= item.finished_at
    ]
    return sorted(found, key=lambda review: (review.worst_trust, review.score, review.task_id))


def last_saved(events: Iterable[Event]) -> dict[int, float]:
    """Task -> when somebody last submitted or changed an annotation of it, seconds since 1970."""
    saved_at: dict[int, float] = {}
    for event in events:
        if event.action in _SAVED and event.task_id is not None:
            saved_at[event.task_id] = max(event.at, saved_at.get(event.task_id, 0.0))
    return saved_at


def doubtful(trust: Mapping[str, float]) -> str:
    """``dog 0.21, cat 0.34``: classes below :data:`DOUBTFUL`, worst first; empty when there is none."""
    low = sorted((value, name) for name, value in trust.items() if value < DOUBTFUL)
    return ", ".join(f"{name} {value:.2f}" for value, name in low)


def _review(item: MadeMasks) -> Review:
    worst = min(item.trust, key=lambda name: (item.trust[name], name))
    mean = sum(item.trust.values()) / len(item.trust)
    return Review(item.task_id, item.project_id, item.reference, mean, worst, item.trust[worst])
