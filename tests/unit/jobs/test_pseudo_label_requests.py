"""Wishes for masks of tags: refusals, names, queues, and what a person drew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backends.core.errors import BadInput, BadMask
from backends.core.types import BoxPrompt, FrameMasks, MaskPrompt, TagPrompt
from backends.ledger import Ledger
from backends.queues import BATCH, INTERACTIVE, PseudoLabelRequest
from backends.queues.tickets import run_ticket
from pipelines.tag_masks import keep_drawn, prompts_of
from tests.queue_house import SIZE_HW, disc

GOOD = PseudoLabelRequest(1, 2, "a.png", SIZE_HW, ("dog", "cat"), "weak_shot-00000000")
BOX = BoxPrompt("dog", 0, 1.0, 2.0, 9.0, 8.0)
MINE = MaskPrompt("dog", 0, disc())


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"tags": ()}, BadInput, "task 2 has no tags"),
        ({"tags": ("dog",), "drawn": (MINE,)}, BadInput, "a mask of yours already"),
        ({"boxes": (replace(BOX, object_id="cow"),)}, BadInput, "a box for 'cow'"),
        ({"drawn": (MaskPrompt("dog", 0, np.ones((3, 5), np.bool_)),)}, BadMask, "not of this image"),
        ({"drawn": (MaskPrompt("dog", 1, disc()),)}, BadMask, "not of this image"),
    ],
)
def test_refusals(changes: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        replace(GOOD, **changes)  # type: ignore[arg-type]


def test_a_name_says_what_is_wanted_and_nothing_else() -> None:
    assert GOOD.job_id() == replace(GOOD, tags=("cat", "dog")).job_id()
    assert GOOD.job_id() == replace(GOOD, deliver_prediction=True).job_id()
    others = [
        replace(GOOD, task_id=9),
        replace(GOOD, model_version="weak_shot-11111111"),
        replace(GOOD, image_ref="b.png"),
        replace(GOOD, tags=("dog",)),
        replace(GOOD, boxes=(BOX,)),
        replace(GOOD, boxes=(replace(BOX, x0_px=2.0),)),
        replace(GOOD, drawn=(MINE,)),
        replace(GOOD, drawn=(MaskPrompt("dog", 0, disc(9, 9)),)),
        replace(GOOD, is_awaited=True),
    ]
    assert len({request.job_id() for request in (GOOD, *others)}) == len(others) + 1


@pytest.mark.parametrize(("is_awaited", "queue"), [(False, BATCH), (True, INTERACTIVE)])
def test_somebody_who_waits_goes_before_a_batch(tmp_path: Path, is_awaited: bool, queue: str) -> None:
    row = Ledger(tmp_path / "l").want_job(replace(GOOD, is_awaited=is_awaited).wanted())
    ticket = run_ticket(row)
    assert (ticket.queue, ticket.function) == (queue, "pipelines.jobs.pseudo_label")
    assert ticket.arguments == {"job_id": row.id, "generation": 0}


def test_a_wish_survives_the_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l")
    row = ledger.want_job(replace(GOOD, boxes=(BOX,), drawn=(MaskPrompt("cat", 0, disc()),)).wanted())
    assert prompts_of(row.payload) == [TagPrompt("dog", 0), TagPrompt("cat", 0), BOX]
    [mine] = ledger.anchors(row.id)
    assert mine.object_id == "cat" and np.array_equal(mine.mask, disc())


def test_a_persons_mask_stands_and_keeps_its_pixels() -> None:
    made = FrameMasks(0, {"dog": disc(8, 8), "cat": disc(8, 12)}, {"dog": 0.2, "cat": 0.7})
    kept = keep_drawn(made, [MaskPrompt("dog", 0, disc(10, 10))])
    assert np.array_equal(kept.masks["dog"], disc(10, 10))
    assert np.array_equal(kept.masks["cat"], disc(8, 12) & ~disc(10, 10))
    assert kept.anchors == {"dog"} and kept.confidence == {"dog": 1.0, "cat": 0.7}
    assert keep_drawn(made, []) is made
