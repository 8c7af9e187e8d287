"""Base or novel, enough or too little, and what may be shown of a photo."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backends.core.errors import BadInput
from backends.weak_shot.classes import ClassSet
from pipelines.export.tasks import TooLittle
from pipelines.weak_shot_project.classes import Decision, Enough, ProjectPhoto, decide, label_map
from tests.project_house import CLASSES, SIZE_HW, block, painted, photo, ticked

SKIN, HAT, DOG = block(2, 12, 2, 12), block(10, 20, 10, 20), block(5, 8, 15, 25)
CLASS_SET = ClassSet(CLASSES, frozenset({"dog"}))
ENOUGH = Enough(base_photos=4, masks=3, tags=5)
BASE = [ticked("skin"), painted("skin", SKIN)]
NOVEL = [ticked("dog")]


def many(result: list[dict[str, Any]], n: int, start: int = 1, **changes: Any) -> list[ProjectPhoto]:
    return [photo(result, number=start + i, **changes) for i in range(n)]


def decided(photos: list[ProjectPhoto], **how: Any) -> Decision:
    return decide(photos, CLASSES, ENOUGH, **how)


def test_classes_with_masks_are_base_and_classes_with_tags_only_are_novel() -> None:
    decision = decided(many(BASE, 4) + many(NOVEL, 5))
    assert decision.classes == ClassSet(("skin", "dog"), frozenset({"dog"}))
    assert decision.roles == {"skin": "base", "hat": "left out", "dog": "novel"}
    assert decision.base_photos == 4
    assert [note for note in decision.notes if "'hat' is left out: 0 with masks, 0 with tags" in note]


@pytest.mark.parametrize(
    ("photos", "says"),
    [
        (many(NOVEL, 9), "no base class: wants at least one class with 3"),
        (many(BASE, 9), "no novel class: wants at least one class with 5"),
        (many(BASE, 4) + many(NOVEL, 4), "no novel class"),
        (many(BASE, 3) + many(NOVEL, 5), "too few base photos: 3, wants 4"),
        (many(BASE, 2) + many(NOVEL, 5), "no base class"),
        (many([*BASE, *NOVEL], 9), "too few base photos: 0"),
    ],
)
def test_too_little_is_refused_with_the_counts(photos: list[ProjectPhoto], says: str) -> None:
    with pytest.raises(TooLittle, match=says) as caught:
        decided(photos)
    skin = sum("skin" in p.tags for p in photos)
    assert f"skin: {skin} with masks, {skin} with tags" in str(caught.value)


def test_photos_that_are_held_out_do_not_count() -> None:
    with pytest.raises(TooLittle, match="1 photos more are held out"):
        decided(many(BASE, 3) + many(BASE, 1, 50, held_out=True) + many(NOVEL, 5))


def test_a_few_corrected_masks_do_not_make_a_novel_class_base() -> None:
    some = many([ticked("dog"), painted("dog", DOG)], 2, 60)
    decision = decided(many(BASE, 4) + many(NOVEL, 5) + some)
    assert decision.roles["dog"] == "novel"
    assert any("'dog' is novel: its 2 painted masks count as tags only" in note for note in decision.notes)


def test_accepted_proposals_do_not_make_a_class_base() -> None:
    accepted = [ticked("dog"), painted("dog", DOG, origin="prediction")]
    decision = decided(many(BASE, 4) + many(accepted, 6, 60))
    assert decision.roles["dog"] == "novel" and decision.counts["dog"].accepted == 6


def test_people_can_name_a_class_novel() -> None:
    photos = many(BASE, 4) + many([ticked("dog"), painted("dog", DOG)], 6, 60)
    with pytest.raises(TooLittle, match="name it with --novel"):
        decided(photos)
    assert decided(photos, novel=["dog"]).classes.novel == {"dog"}
    with pytest.raises(BadInput, match="no such class: cat; this project has skin, hat, dog"):
        decided(photos, novel=["cat"])


def test_a_class_on_every_photo_is_said_to_tell_nothing() -> None:
    assert any("'dog' is on 100 of 104" in note for note in decided(many(BASE, 4) + many(NOVEL, 100)).notes)
    assert not any("everywhere" in note for note in decided(many(BASE, 8) + many(NOVEL, 100)).notes)


def test_a_base_photo_is_shown_as_painted() -> None:
    labels = label_map(photo([ticked("skin", "hat"), painted("skin", SKIN), painted("hat", HAT)]), CLASS_SET)
    expected = np.zeros(SIZE_HW, np.uint8)
    expected[SKIN] = 1
    expected[HAT] = 2  # painted later
    assert labels is not None and np.array_equal(labels, expected)


LEAKS = {
    "novel tag, not painted": [[ticked("skin", "dog"), painted("skin", SKIN)]],
    "novel painted": [[painted("skin", SKIN), painted("dog", DOG)]],
    "novel painted over base": [[painted("skin", SKIN), painted("dog", SKIN)]],
    "base painted over novel": [[painted("dog", SKIN), painted("skin", SKIN)]],
    "novel tag of the other annotator": [[ticked("dog")], [painted("skin", SKIN)]],
    "novel mask of the other annotator": [[painted("dog", SKIN)], [painted("skin", SKIN)]],
    "novel mask cannot be read": [[painted("skin", SKIN), painted("dog", block(0, 9, 0, 9, (9, 9)))]],
}


@pytest.mark.parametrize("name", LEAKS)
def test_no_novel_pixel_becomes_background_or_a_base_class(name: str) -> None:
    labels = label_map(photo(*LEAKS[name]), CLASS_SET)
    assert labels is not None
    assert set(np.unique(labels)) <= {1, 255}, "there is no background on a photo with a novel class"
    if "painted over" in name or "mask of the other" in name:
        assert (labels == 255).all()
    else:
        assert np.array_equal(labels == 1, SKIN)


@pytest.mark.parametrize(
    "result",
    [
        [ticked("skin", "hat"), painted("skin", SKIN)],
        [painted("skin", SKIN), painted("hat", HAT, value={"brushlabels": ["hat"]})],
        [painted("skin", SKIN), painted("skin", block(0, 4, 20, 24, (9, 30)), "large")],
    ],
    ids=["not painted", "broken", "one of two of another size"],
)
def test_what_is_there_and_not_painted_leaves_no_background(result: list[dict[str, Any]]) -> None:
    labels = label_map(photo(result), CLASS_SET)
    assert labels is not None and set(np.unique(labels)) == {1, 255}


def test_a_left_out_class_is_ignored_where_it_is_painted() -> None:
    labels = label_map(photo([painted("skin", SKIN), painted("hat", DOG)]), ClassSet(("skin",)))
    assert labels is not None and (labels[DOG & ~SKIN] == 255).all()
    assert (labels[~DOG & ~SKIN] == 0).all()


def test_photos_without_base_masks_have_no_map() -> None:
    assert label_map(photo([ticked("skin", "dog")]), CLASS_SET) is None
    assert label_map(photo([painted("dog", DOG)]), CLASS_SET) is None


def test_held_out_photos_show_novel_classes_to_the_metric() -> None:
    result = [painted("skin", SKIN), painted("dog", DOG)]
    labels = label_map(photo(result, held_out=True), CLASS_SET)
    assert labels is not None and (labels[DOG] == 3).all() and labels[0, 0] == 0
    part = label_map(photo([ticked("hat"), *result], held_out=True), CLASS_SET)
    assert part is not None and part[0, 0] == 255, "the hat is somewhere"
