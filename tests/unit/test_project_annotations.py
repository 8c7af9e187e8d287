"""One task's annotations: whose masks count, whose hand they are of, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.export.annotations import read_work
from tests.project_house import CLASSES, CONFIG, SIZE_HW, annotation, block, painted, task, ticked

SKIN, HAT = block(2, 12, 2, 12), block(10, 20, 10, 20)


def test_tags_are_what_is_ticked_or_painted() -> None:
    work = read_work(task(annotation(1, [ticked("dog"), painted("skin", SKIN)])), CONFIG, SIZE_HW)
    [opinion] = work.opinions
    assert opinion.tags == ("skin", "dog") and opinion.painted == {"skin"}
    assert np.array_equal(opinion.masks[0].mask, SKIN)


def test_of_two_annotators_the_later_masks_count_and_all_tags() -> None:
    first = annotation(1, [ticked("dog"), painted("skin", SKIN)], completed_by=1)
    second = annotation(
        2, [painted("skin", HAT), painted("hat", HAT)], completed_by={"email": "bo@example.com"}
    )
    work = read_work(task(second, first), CONFIG, SIZE_HW)
    assert work.mask_opinion is not None
    assert (work.mask_opinion.annotation_id, work.mask_opinion.user) == (2, "bo@example.com")
    assert work.tags == {"skin", "hat", "dog"}
    assert [o.annotation_id for o in work.opinions] == [1, 2] and len(work.raw) == 2, "both are kept"
    overlap = (SKIN & HAT).sum() / (SKIN | HAT).sum()
    assert work.agreement() == {"hat": 0.0, "skin": pytest.approx(overlap)}


def test_a_starred_annotation_counts_before_a_later_one() -> None:
    starred = annotation(1, [painted("skin", SKIN)], ground_truth=True)
    work = read_work(task(starred, annotation(2, [painted("skin", HAT)])), CONFIG, SIZE_HW)
    assert work.mask_opinion is not None and work.mask_opinion.annotation_id == 1


def test_an_annotation_with_tags_only_does_not_take_the_masks_away() -> None:
    work = read_work(
        task(annotation(1, [painted("skin", SKIN)]), annotation(2, [ticked("dog")])), CONFIG, SIZE_HW
    )
    assert work.mask_opinion is not None and work.mask_opinion.annotation_id == 1
    assert work.tags == {"skin", "dog"}


def test_cancelled_annotations_are_kept_and_do_not_count() -> None:
    work = read_work(task(annotation(1, [painted("dog", SKIN)], was_cancelled=True)), CONFIG, SIZE_HW)
    assert (work.opinions, work.cancelled, len(work.raw)) == ((), 1, 1)


def test_painted_corrected_and_accepted_are_told_apart() -> None:
    prediction = {
        "model_version": "weak_shot-1a2b3c4d",
        "result": [painted(name, SKIN, f"{name}_f0000") for name in CLASSES],
    }
    result = [
        painted("skin", SKIN, "skin_f0000", origin="prediction"),
        painted("hat", HAT, "hat_f0000", origin="prediction-changed"),
        painted("dog", SKIN, "by-hand"),
    ]
    [opinion] = read_work(task(annotation(1, result), predictions=[prediction]), CONFIG, SIZE_HW).opinions
    told = {mask.label: (mask.origin, mask.proposed_by) for mask in opinion.masks}
    version = "weak_shot-1a2b3c4d"
    assert told == {"skin": ("accepted", version), "hat": ("corrected", version), "dog": ("painted", "")}


def test_masks_that_were_only_shown_in_the_editor_are_known_from_the_ledger() -> None:
    result = [painted("skin", SKIN, "skin_f0000"), painted("hat", HAT, "hat_f0000")]
    [plain] = read_work(task(annotation(1, result)), CONFIG, SIZE_HW).opinions
    assert {mask.origin for mask in plain.masks} == {"painted"}
    skin = plain.masks[0].digest
    machine = {"skin_f0000": {skin}, "hat_f0000": {"another"}}
    [opinion] = read_work(task(annotation(1, result)), CONFIG, SIZE_HW, machine).opinions
    assert [mask.origin for mask in opinion.masks] == ["accepted", "corrected"]


def test_a_proposal_that_is_gone_is_known_by_the_editors_word() -> None:
    result = [
        painted("skin", SKIN, "a", origin="prediction"),
        painted("hat", HAT, "b", origin="prediction-changed"),
    ]
    [opinion] = read_work(task(annotation(1, result)), CONFIG, SIZE_HW).opinions
    assert [mask.origin for mask in opinion.masks] == ["accepted", "corrected"]


def test_what_cannot_be_used_is_named_and_the_rest_goes_on() -> None:
    broken = painted("hat", HAT, "broken")
    broken["value"]["rle"] = broken["value"]["rle"][:30]
    other_size = painted("dog", block(1, 5, 1, 5, (48, 64)), "large")
    result = [painted("skin", SKIN), broken, other_size, ticked("skin", "blurry")]
    [opinion] = read_work(task(annotation(1, result)), CONFIG, SIZE_HW).opinions
    assert opinion.painted == {"skin"} and opinion.lacks_masks
    assert opinion.tags == ("skin", "hat", "dog"), "who paints a class says that it is there"
    words = " / ".join(opinion.refused)
    assert "broken" in words and "cut off" in words and "64x48" in words and "'blurry'" in words


@pytest.mark.parametrize("result", [[], [ticked()], None, "junk", [3, None]])
def test_an_annotation_without_work_has_no_tags(result: object) -> None:
    work = read_work(task(annotation(1, []) | {"result": result}), CONFIG, SIZE_HW)
    assert work.tags == frozenset() and work.mask_opinion is None
