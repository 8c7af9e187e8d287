"""Annotations of clips: masks by frame, whose proposal they grew from, how two people differ."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from backends.core.masks import digest, iou, pack
from backends.core.types import Mask
from backends.labelstudio.regions import region_id
from backends.ledger import TaskCell
from pipelines.export.annotations import Opinion, SavedMask, TaskWork, read_work
from tests.clip_house import OBJECT_CONFIG, on
from tests.project_house import SIZE_HW, annotation, block, task

A, B, C = block(2, 12, 2, 12), block(4, 14, 4, 14), block(0, 20, 0, 20)
BEFORE, SAVED, AFTER = "2026-01-01T10:00:00Z", "2026-01-01T12:00:00.5Z", "2026-01-01T14:00:00+00:00"
OLD, NEW = "video_object-1a2b3c4d", "video_object-5e6f7a8b"


def read(*annotations: Any, predictions: Any = (), **how: Any) -> TaskWork:
    return read_work(task(*annotations, predictions=predictions), OBJECT_CONFIG, SIZE_HW, n_frames=4, **how)


def only(*results: Any, predictions: Any = (), told: Any = None, **how: Any) -> Opinion:
    saved = annotation(1, results, updated_at=SAVED, **(told or {}))
    [opinion] = read(saved, predictions=predictions, **how).opinions
    return opinion


def judged(mask: SavedMask) -> tuple[str, str, float | None]:
    return mask.origin, mask.proposed_by, mask.proposed_iou


def prediction(*results: Any, version: str = OLD, at: str = BEFORE, number: int = 9) -> dict[str, Any]:
    return {"id": number, "model_version": version, "created_at": at, "result": list(results)}


def cell(
    mask: Mask, frame: int = 1, *, at: str = BEFORE, version: str = OLD, anchor: bool = False
) -> TaskCell:
    moment = datetime.fromisoformat(at).astimezone(UTC).timestamp()
    return TaskCell(version, moment, "object 1", frame, anchor, SIZE_HW, pack(mask))


NAME = region_id("object 1", 1)


def test_masks_are_kept_by_frame_with_holes_and_several_labels() -> None:
    ring = C & ~A
    opinion = only(
        on(0, "object 1", ring),
        on(2, "object 1", A, "one"),
        on(2, "object 1", C & ~B, "two"),
        on(2, "object 2", B),
    )
    assert opinion.frames == (0, 2)
    assert np.array_equal(opinion.on_frame(0)["object 1"], ring) and not opinion.on_frame(1)
    second = opinion.on_frame(2)
    assert list(second) == ["object 1", "object 2"] and np.array_equal(second["object 1"], A | (C & ~B))


def test_a_region_of_two_labels_is_a_mask_of_each() -> None:
    both = on(1, "object 1", A)
    both["value"]["brushlabels"] = ["object 2", "object 1"]
    opinion = only(both)
    assert opinion.painted == {"object 1", "object 2"}
    assert len({(mask.region_id, mask.digest) for mask in opinion.masks}) == 1


@pytest.mark.parametrize(
    ("result", "says", "doubtful"),
    [
        (on(9, "object 1", A), "the clip has frames 0 to 3", set()),
        (on(2, "object 1", A) | {"original_width": 99}, "size is 99x24", {2}),
        (on(2, "horse", A), "'horse' is not in 'mask'", set()),
        (
            on(3, "object 1", A) | {"value": {"brushlabels": ["object 1"], "format": "rle", "rle": [1]}},
            "",
            {3},
        ),
        (on(1, "object 1", A) | {"item_index": "two"}, "wants the frame's number", set()),
        (on(1, "object 1", A) | {"value": None}, "NoneType", {1}),
    ],
    ids=["frame", "size", "label", "rle", "no frame", "no value"],
)
def test_what_cannot_be_used_is_told_with_its_frame(result: Any, says: str, doubtful: set[int]) -> None:
    opinion = only(on(0, "object 1", A), result)
    assert [mask.frame_index for mask in opinion.masks] == [0] and opinion.lacks_masks
    assert len(opinion.refused) == 1 and says in opinion.refused[0]
    assert opinion.doubtful_frames == doubtful


@pytest.mark.parametrize(
    ("told", "seconds"), [(12.5, 12.5), (0, 0.0), (None, None), (-1, None), ("9", None), (float("nan"), None)]
)
def test_lead_time_is_seconds_or_unknown(told: Any, seconds: float | None) -> None:
    assert only(on(0, "object 1", A), told={"lead_time": told}).lead_time_s == seconds


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        ({}, ("painted", "", None)),
        ({"predictions": [prediction(on(1, "object 1", A, NAME))]}, ("accepted", OLD, 1.0)),
        ({"predictions": [prediction(on(1, "object 1", B, NAME))]}, ("corrected", OLD, iou(A, B))),
        ({"cells": [cell(A)]}, ("accepted", OLD, 1.0)),
        ({"cells": [cell(B)]}, ("corrected", OLD, iou(A, B))),
        ({"machine": {NAME: {digest(A)}}}, ("accepted", "", 1.0)),
        ({"machine": {NAME: {digest(B)}}}, ("corrected", "", None)),
        ({"machine": {NAME: {digest(A)}}, "cells": [cell(A)]}, ("accepted", OLD, 1.0)),
        # the last proposal before it was saved is the one that was changed
        (
            {"cells": [cell(C), cell(B, at="2026-01-01T11:00:00Z", version=NEW)]},
            ("corrected", NEW, iou(A, B)),
        ),
        (
            {
                "predictions": [prediction(on(1, "object 1", C, NAME))],
                "cells": [cell(B, at="2026-01-01T11:00:00Z")],
            },
            ("corrected", OLD, iou(A, B)),
        ),
        # what a later version made was nobody's proposal, whether it agrees or not
        ({"cells": [cell(B, at=AFTER)], "machine": {NAME: {digest(B)}}}, ("painted", "", None)),
        ({"predictions": [prediction(on(1, "object 1", A, NAME), at=AFTER)]}, ("painted", "", None)),
        (
            {"cells": [cell(B), cell(C, at=AFTER, version=NEW)]},
            ("corrected", OLD, iou(A, B)),
        ),
        # a prediction repeats what a person gave the job
        (
            {"cells": [cell(A, anchor=True)], "predictions": [prediction(on(1, "object 1", A, NAME))]},
            ("painted", "", None),
        ),
        (
            {
                "cells": [cell(B), cell(A, anchor=True)],
                "predictions": [prediction(on(1, "object 1", A, NAME))],
            },
            ("corrected", OLD, iou(A, B)),
        ),
        ({"cells": [cell(np.zeros(SIZE_HW, np.bool_))]}, ("painted", "", None)),
        ({"cells": [cell(A, frame=2)]}, ("painted", "", None)),
    ],
)
def test_whose_a_mask_is(known: dict[str, Any], wanted: tuple[str, str, float | None]) -> None:
    [mask] = only(on(1, "object 1", A, NAME), **known).masks
    assert judged(mask) == (*wanted[:2], wanted[2] if wanted[2] is None else pytest.approx(wanted[2]))


def test_the_editors_word_counts_where_a_proposal_is_gone() -> None:
    opinion = only(
        on(0, "object 1", A, origin="prediction"),
        on(1, "object 1", A, origin="prediction-changed"),
        on(2, "object 1", A, origin="manual"),
    )
    assert [mask.origin for mask in opinion.masks] == ["accepted", "corrected", "painted"]
    assert {mask.proposed_iou for mask in opinion.masks} == {None}


def test_a_person_that_changes_his_own_mask_in_a_prediction_corrects_nobody() -> None:
    [mask] = only(
        on(1, "object 1", B, NAME, origin="prediction-changed"),
        cells=[cell(A, anchor=True)],
        predictions=[prediction(on(1, "object 1", A, NAME))],
    ).masks
    assert judged(mask) == ("painted", "", None)


def test_proposals_that_were_deleted_are_known() -> None:
    proposed = prediction(
        on(0, "object 1", A, "o1_f0"), on(1, "object 2", B, "o2_f1"), on(2, "object 1", C, NAME), number=5
    )
    kept = on(0, "object 1", A, "o1_f0")
    with_parent = {"parent_prediction": 5}
    assert only(kept, predictions=[proposed], told=with_parent).removed == (("object 2", 1), ("object 1", 2))
    assert only(kept, predictions=[proposed]).removed == (), "it did not begin with the prediction"
    emptied = on(1, "object 2", np.zeros(SIZE_HW, np.bool_), "o2_f1")
    rest = on(2, "object 1", C, NAME)
    assert only(kept, emptied, rest, predictions=[proposed], told=with_parent).removed == (("object 2", 1),)
    broken = on(1, "object 2", B, "o2_f1") | {"original_width": 1}
    assert only(kept, broken, rest, predictions=[proposed], told=with_parent).removed == ()


def test_two_people_are_compared_frame_by_frame() -> None:
    first = annotation(1, [on(0, "object 1", A), on(1, "object 1", A), on(2, "object 2", B)])
    second = annotation(2, [on(0, "object 1", A), on(1, "object 1", B)])
    work = read(first, second)
    assert work.agreement_by_frame() == {
        ("object 1", 0): 1.0,
        ("object 1", 1): pytest.approx(iou(A, B)),
        ("object 2", 2): 0.0,
    }
    assert work.agreement() == {"object 1": pytest.approx(iou(A, B)), "object 2": 0.0}
    assert work.mask_opinion is not None and work.mask_opinion.annotation_id == 2


def test_two_people_who_cannot_be_compared_agree_on_nothing() -> None:
    assert read(annotation(1, [on(0, "object 1", A)]), annotation(2, [])).agreement_by_frame() == {}
