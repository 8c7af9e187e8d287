"""Base classes that play novel ones: which they are, and that no truly novel pixel is seen with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backends.core.errors import BadInput
from backends.weak_shot.classes import IGNORE, ClassSet
from backends.weak_shot.photos import Photo, Photos
from backends.weak_shot.pretence import pretended, with_pretended
from tests.tagged_folders import save_photo

CLASSES = ClassSet(("face", "cat", "dog", "fish", "cow"), frozenset({"fish"}))
TAGS = ["face cat", "face cat", "face cat dog", "face dog", "face cow", "face", "face fish", "fish"]


def photos(folder: Path, classes: ClassSet = CLASSES) -> Photos:
    train = tuple(
        Photo(
            str(i),
            save_photo(folder / f"{i}.png", np.zeros((6, 8, 3), np.uint8)),
            folder / "mask",
            tuple(tags.split()),
        )
        for i, tags in enumerate(TAGS)
    )
    labels = np.zeros((6, 8), np.uint8)
    labels[:, 2], labels[:, 4] = classes.id_of("fish"), classes.id_of("dog")
    return Photos(classes, train, (), lambda _: labels)


def test_they_are_taken_by_frequency_and_what_is_everywhere_is_none(tmp_path: Path) -> None:
    assert pretended(photos(tmp_path)) == ("dog",), "cat, dog, cow by frequency; every third from the second"


def test_novel_pixels_are_hidden_and_pretended_ones_do_not_train(tmp_path: Path) -> None:
    found = with_pretended(photos(tmp_path))
    assert found.classes.names == CLASSES.names and found.classes.novel == {"fish", "dog"}
    truth = found.truth(found.train[3])
    assert (truth[:, 2] == IGNORE).all() and (truth[:, 4] == 3).all(), "dog is scored, fish is not seen"
    assert [p.name for p in found.base_images] == ["0", "1", "4", "5"]
    assert (found.partial_truth(found.train[3]) == IGNORE).all()


def test_too_few_classes_to_choose_by(tmp_path: Path) -> None:
    few = ClassSet(CLASSES.names, frozenset({"fish", "cat", "dog"}))
    with pytest.raises(BadInput, match="1 base classes are on at most half"):
        pretended(photos(tmp_path, few))
