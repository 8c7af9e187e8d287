"""The review order: by the worst class, without what somebody saved since, from the ledger's own rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.core.types import FrameMasks, MaskPrompt
from backends.ledger import Ledger, MadeMasks
from backends.notices import Event
from backends.queues import PseudoLabelRequest
from backends.review import doubtful, review_order
from tests.queue_house import SIZE_HW, disc

NOW = 1000.0


def made(task: int, **trust: float) -> MadeMasks:
    return MadeMasks(task, 3, f"/data/local-files/?d=photos/{task}.jpg", NOW, trust)


def test_the_picture_with_the_worst_class_comes_first() -> None:
    order = review_order([made(1, dog=0.7), made(2, dog=0.95, cat=0.2), made(3, dog=0.4)], [])
    assert [(item.task_id, item.worst, item.worst_trust) for item in order] == [
        (2, "cat", 0.2),
        (3, "dog", 0.4),
        (1, "dog", 0.7),
    ]
    assert order[0].score == pytest.approx(0.575)


@pytest.mark.parametrize(
    ("action", "at", "left"),
    [
        ("ANNOTATION_CREATED", NOW + 1, []),
        ("ANNOTATION_UPDATED", NOW + 1, []),
        ("ANNOTATION_CREATED", NOW - 1, [1]),  # the tags themselves
        ("ANNOTATIONS_DELETED", NOW + 1, [1]),
    ],
)
def test_what_was_saved_since_leaves_the_list(action: str, at: float, left: list[int]) -> None:
    order = review_order([made(1, dog=0.1)], [Event(action, 3, 1, 9, at), Event(action, 3, 7, 9, at)])
    assert [item.task_id for item in order] == left


def test_a_picture_drawn_by_a_person_alone_is_not_listed() -> None:
    assert review_order([made(1)], []) == []


def test_doubts_in_words() -> None:
    assert doubtful({"dog": 0.9, "cat": 0.31, "cow": 0.1}) == "cow 0.10, cat 0.31"
    assert doubtful({"dog": 0.9}) == ""


def finish(ledger: Ledger, task: int, trust: float, *, deliver: bool = True, tags: tuple[str, ...]) -> None:
    request = PseudoLabelRequest(
        project_id=task % 2,
        task_id=task,
        image_ref=f"{task}.jpg",
        size_hw=SIZE_HW,
        tags=tags,
        model_version="weak_shot-00000000",
        drawn=(MaskPrompt("cow", 0, disc()),),
        deliver_prediction=deliver,
    )
    row = ledger.want_job(request.wanted())
    assert ledger.start(row.id, row.generation, "w")
    frame = FrameMasks(0, {"dog": disc(), "cow": disc()}, {"dog": trust, "cow": 1.0}, frozenset({"cow"}))
    ledger.put_frame(row.id, row.generation, frame)
    ledger.finish(row.id, row.generation, 0.0)


def test_the_ledger_tells_the_last_masks_of_each_picture(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    finish(ledger, 1, 0.9, tags=("dog",))
    finish(ledger, 1, 0.4, tags=("dog", "cow"))  # the tags were changed and asked for again
    finish(ledger, 2, 0.6, tags=("dog",))
    finish(ledger, 3, 0.6, deliver=False, tags=("dog",))  # seen in the editor at once
    found = {item.task_id: (item.reference, dict(item.trust)) for item in ledger.made_masks()}
    assert found == {1: ("1.jpg", {"dog": 0.4}), 2: ("2.jpg", {"dog": 0.6})}
    assert [item.task_id for item in ledger.made_masks(1)] == [1]
