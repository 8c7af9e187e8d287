"""Masks to regions and back; what a person drew is told from what the machine made."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from backends.core.errors import BadInput, BadMask
from backends.core.types import FrameMasks
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.regions import (
    Region,
    anchors,
    check_result,
    read_masks,
    region_id,
    to_results,
    unite,
)
from tests.unit.labelstudio.shapes import BLOCK, CONFIG, N_FRAMES, SIZE_HW, box_mask, click, region, stroke

EMPTY = box_mask(0, 0, 0, 0)
OTHER = box_mask(14, 20, 6, 20)


@pytest.mark.parametrize(
    ("object_id", "slug"),
    [("object 1", "object-1"), ("dog", "dog"), ("Dog", "dog-"), ("object-1", "object-1-"), ("ё", "object-")],
)
def test_region_ids_are_readable(object_id: str, slug: str) -> None:
    name = region_id(object_id, 7)
    assert name.endswith("_f0007") and name.startswith(slug)
    assert (len(name) == len(f"{slug}_f0007")) == (not slug.endswith("-"))


def test_region_ids_of_different_objects_differ() -> None:
    names = ["object 1", "object-1", "Object 1", "object  1", "object_1", "дом", "том", "a_f0001", "a", ""]
    assert len({region_id(n, 1) for n in names}) == len(names)
    assert region_id("a", 12345) == "a_f12345"


def test_frames_come_back_as_they_went() -> None:
    frame = FrameMasks(
        3, {"object 1": BLOCK, "object 2": OTHER}, {"object 1": 0.75, "object 2": float("nan")}
    )
    results = to_results(frame, CONFIG, SIZE_HW)
    json.dumps(results, allow_nan=False)
    assert [r["id"] for r in results] == ["object-1_f0003", "object-2_f0003"]
    assert results[0]["score"] == 0.75 and "score" not in results[1]
    read, refused = read_masks(results, CONFIG, N_FRAMES, SIZE_HW)
    assert not refused
    assert [(r.object_id, r.frame_index) for r in read] == [("object 1", 3), ("object 2", 3)]
    assert np.array_equal(read[0].mask, BLOCK) and np.array_equal(read[1].mask, OTHER)
    assert check_result(results, CONFIG, N_FRAMES, SIZE_HW) == []


def test_nothing_to_see_gives_no_region_and_anchors_can_be_skipped() -> None:
    frame = FrameMasks(0, {"object 1": EMPTY, "object 2": OTHER}, {}, anchors=frozenset({"object 2"}))
    assert [r["id"] for r in to_results(frame, CONFIG, SIZE_HW)] == ["object-2_f0000"]
    assert to_results(frame, CONFIG, SIZE_HW, skip=frame.anchors) == []


def test_what_cannot_be_shown_is_not_sent() -> None:
    with pytest.raises(BadInput, match=r"'cat' is not in 'mask'.*'object 1', 'object 2'"):
        to_results(FrameMasks(0, {"cat": BLOCK}, {}), CONFIG, SIZE_HW)
    with pytest.raises(BadMask, match="32x24; the frames are 30x20"):
        to_results(FrameMasks(0, {"object 1": BLOCK}, {}), CONFIG, (20, 30))


def without(item: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in item.items() if k != key}


def value(**changes: Any) -> dict[str, Any]:
    return {**region()["value"], **changes}


BROKEN = [
    (without(region(), "id"), "id", "missing"),
    (without(region(), "item_index"), "item_index", "frame's number"),
    (region(item_index=-1), "item_index", "frames 0 to 4"),
    (region(item_index=5), "item_index", "frames 0 to 4"),
    (region(item_index="2"), "item_index", "'2'"),
    (region(item_index=True), "item_index", "True"),
    (region(original_width=33), "original_width", "33x24; the frames are 32x24"),
    (without(region(), "original_height"), "original_width", "None"),
    (region(image_rotation=90), "image_rotation", "turned"),
    (region(to_name="video"), "to_name", "wants 'img'"),
    (region(value=None), "value", "NoneType"),
    (region(value=value(brushlabels=["cat"])), "value.brushlabels", "'cat' is not in 'mask'"),
    (region(value=value(brushlabels=[])), "value.brushlabels", "wants a label"),
    (region(value=value(brushlabels=["object 1", 2])), "value.brushlabels", "wants a label"),
    (region(value=value(brushlabels=["object 1", "cat"])), "value.brushlabels", "'cat' is not in 'mask'"),
    (region(value=value(rle=[1, 2, 3])), "value", "header"),
    (region(value=value(rle=value()["rle"][:-4])), "value", "cut off"),
    (region(value=value(format="png")), "value", "'png'"),
]


@pytest.mark.parametrize(("item", "field", "says"), BROKEN)
def test_a_bad_region_is_refused_by_name_and_the_rest_goes_on(
    item: dict[str, Any], field: str, says: str
) -> None:
    good = region(id="good", item_index=1)
    read, [refusal] = read_masks([item, good], CONFIG, N_FRAMES, SIZE_HW)
    assert [r.id for r in read] == ["good"]
    assert (refusal.field, refusal.region_id) == (field, item.get("id", ""))
    assert says in refusal.message and field in str(refusal)
    [problem] = check_result([item, good], CONFIG, N_FRAMES, SIZE_HW)
    assert problem == refusal


def test_stray_duplicates_and_other_controls_are_passed_over() -> None:
    stray = {**click(), "id": "r1", "value": region()["value"]}  # "keep label selected"
    tags = {"id": "t", "type": "choices", "from_name": "tags", "value": {"choices": ["x"]}}
    foreign = region(from_name="another brush", id="f")
    read, refused = read_masks([stray, region(), tags, foreign, None, "x"], CONFIG, N_FRAMES, SIZE_HW)
    assert ([r.id for r in read], refused) == (["r1"], [])


def test_of_one_id_the_later_region_counts() -> None:
    read, _ = read_masks([region(), region(OTHER)], CONFIG, N_FRAMES, SIZE_HW)
    assert len(read) == 1 and np.array_equal(read[0].mask, OTHER)


def test_a_region_of_several_labels_counts_for_each_and_is_never_sent() -> None:
    both = region(value=value(brushlabels=["object 2", "object 1", "object 2"]))
    read, refused = read_masks([both], CONFIG, N_FRAMES, SIZE_HW)
    assert [(r.id, r.object_id) for r in read] == [("r1", "object 2"), ("r1", "object 1")]
    assert not refused and np.array_equal(read[0].mask, read[1].mask)
    [again] = read_masks([both, region()], CONFIG, N_FRAMES, SIZE_HW)[0]
    assert again.object_id == "object 1", "the later one replaces all of the earlier one"
    [problem] = check_result([both], CONFIG, N_FRAMES, SIZE_HW)
    assert (problem.field, problem.message) == ("value.brushlabels", "wants one label")


@pytest.mark.parametrize("result", [None, {}, "x", 5, []])
def test_a_result_that_is_none_holds_nothing(result: Any) -> None:
    assert read_masks(result, CONFIG, N_FRAMES, SIZE_HW) == ([], [])


def test_a_region_that_was_wiped_out_is_no_region() -> None:
    wiped = region(value=value(touches=[stroke(0, 50, 100, 50, width=100, kind="eraser")]))
    assert read_masks([wiped], CONFIG, N_FRAMES, SIZE_HW) == ([], [])


def test_without_a_known_size_the_region_says_it_but_within_limits() -> None:
    read, refused = read_masks([region()], CONFIG, N_FRAMES)
    assert len(read) == 1 and not refused
    huge = region(original_width=20_000, original_height=20_000)
    assert "limit" in read_masks([huge], CONFIG, N_FRAMES)[1][0].message


def test_checks_of_a_whole_result() -> None:
    many = [region(id=f"r{i}") for i in range(4)]
    [problem] = check_result(many, CONFIG, N_FRAMES, SIZE_HW, max_regions=3)
    assert "4 regions" in problem.message
    [twice] = check_result([region(), region()], CONFIG, N_FRAMES, SIZE_HW)
    assert (twice.region_id, twice.field) == ("r1", "id")
    assert "a list" in check_result({}, CONFIG, N_FRAMES, SIZE_HW)[0].message
    kinds = check_result([click()], CONFIG, N_FRAMES, SIZE_HW)
    assert kinds[0].field == "type"


def test_a_single_picture_needs_no_item_index() -> None:
    xml = (
        '<View><Image name="img" value="$image"/><BrushLabels name="mask" toName="img">'
        '<Label value="object 1"/></BrushLabels></View>'
    )
    config = LabelConfig.parse(xml)
    [result] = to_results(FrameMasks(0, {"object 1": BLOCK}, {}), config, SIZE_HW)
    assert "item_index" not in result
    assert len(read_masks([result], config, 1, SIZE_HW)[0]) == 1


def made(name: str, mask: Any, object_id: str = "object 1", frame: int = 0) -> Region:
    return Region(name, "mask", "img", object_id, frame, mask)


def test_strokes_of_one_object_on_one_frame_are_united() -> None:
    masks = unite([made("a", BLOCK), made("b", OTHER), made("c", OTHER, frame=1)])
    assert np.array_equal(masks["object 1", 0], BLOCK | OTHER)
    assert np.array_equal(masks["object 1", 1], OTHER)


def test_anchors_are_what_a_person_drew_or_changed() -> None:
    machine = {f"object-1_f000{i}": {made("", BLOCK).digest} for i in range(4)}
    regions = [
        made("object-1_f0003", OTHER, frame=3),  # the machine's, changed
        made("object-1_f0000", BLOCK, frame=0),  # the machine's, untouched
        made("object-1_f0001", BLOCK, frame=1),  # untouched, with a stroke beside it
        made("hand", OTHER, frame=1),
        made("hand 2", OTHER, "object 2", frame=0),  # drawn
    ]
    found = anchors(regions, machine)
    assert [(p.object_id, p.frame_index) for p in found] == [
        ("object 2", 0),
        ("object 1", 1),
        ("object 1", 3),
    ]
    assert np.array_equal(found[1].mask, BLOCK | OTHER)
    assert all(p.is_anchor for p in found)
    assert anchors(regions[1:2], machine) == []
    assert len(anchors(regions[1:2], {})) == 1, "nothing remembered: everything is a person's"


def test_masks_beyond_the_limit_are_told() -> None:
    many = [region(id=f"r{i}", item_index=i % N_FRAMES) for i in range(1003)]
    read, [refusal] = read_masks(many, CONFIG, N_FRAMES, SIZE_HW)
    assert len(read) == 1000 and "holds 1003 masks; the first 1000 are read" in str(refusal)
