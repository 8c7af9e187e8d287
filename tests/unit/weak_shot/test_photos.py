"""The guard that keeps novel pixels out of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backends.core.errors import BadInput, BadMask
from backends.weak_shot.classes import ClassSet
from backends.weak_shot.photos import Labels, Photo, Photos
from tests.tagged_folders import draw, save_photo

CLASSES = ClassSet(("cat", "dog", "fish"), frozenset({"dog"}))
NOVEL = CLASSES.id_of("dog")


def photos(root: Path, labels: Labels, tags: tuple[str, ...]) -> tuple[Photos, Photo]:
    path = save_photo(root / "a.png", draw([1, 2, 3])[0])
    photo = Photo("a", path, root / "a-mask.png", tags)
    return Photos(CLASSES, (photo,), (), lambda _: labels), photo


def test_no_base_mask_shows_a_novel_pixel(tmp_path: Path) -> None:
    labels = draw([1, NOVEL, 3])[1]
    found, photo = photos(tmp_path, labels, ("cat", "fish"))  # the tags do not tell of the dog
    assert found.base_images == (photo,)
    kept = found.base_truth(photo)
    assert not (kept == NOVEL).any()
    assert np.array_equal(kept == 255, labels == NOVEL)
    assert np.array_equal(kept[kept != 255], labels[labels != NOVEL])
    assert (found.truth(photo) == NOVEL).any(), "the metric sees it"


def test_the_mask_of_a_novel_photo_does_not_train(tmp_path: Path) -> None:
    found, photo = photos(tmp_path, draw([1, NOVEL])[1], ("cat", "dog"))
    assert found.is_novel(photo) and not found.is_base(photo)
    assert (found.base_images, found.novel_images) == ((), (photo,))
    with pytest.raises(BadInput, match="tag of a novel class \\(dog\\)"):
        found.base_truth(photo)


def test_partial_truth_hides_background_and_novel_alike(tmp_path: Path) -> None:
    labels = draw([1, NOVEL, 3])[1]
    found, photo = photos(tmp_path, labels, ("cat", "dog"))
    kept = found.partial_truth(photo)
    assert set(np.unique(kept)) == {1, 3, 255}
    assert np.array_equal(kept == 255, np.isin(labels, (0, NOVEL)))


def test_guards_leave_the_mask_as_it_was(tmp_path: Path) -> None:
    labels = draw([1, NOVEL, 3])[1]
    before = labels.copy()
    found, photo = photos(tmp_path, labels, ("cat",))
    found.base_truth(photo), found.partial_truth(photo)
    assert np.array_equal(labels, before)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.zeros((3, 4), np.uint8), "4x3 pixels; its photo has 60x40"),
        (np.full((40, 60), 9, np.uint8), "class id 9; the ids are 0 to 3"),
    ],
)
def test_masks_that_do_not_fit(tmp_path: Path, labels: Labels, says: str) -> None:
    found, photo = photos(tmp_path, labels, ("cat",))
    with pytest.raises(BadMask, match=says):
        found.truth(photo)


def test_a_photo_without_mask(tmp_path: Path) -> None:
    found, photo = photos(tmp_path, np.zeros((40, 60), np.uint8), ("cat",))
    bare = Photo("b", photo.image_path, None, ("cat",))
    assert not found.is_base(bare)
    with pytest.raises(BadMask, match="no mask"):
        found.truth(bare)


def test_choosing_holds_out_the_end_of_each_sequence_and_never_what_is_reported(tmp_path: Path) -> None:
    def photo(name: str) -> Photo:
        return Photo(name, tmp_path / name, None, ("cat",))

    train = tuple(photo(f"{sequence}/{i}") for sequence in ("one", "two") for i in range(6))
    apart = (photo("one/9"),)
    found = Photos(CLASSES, train, apart, lambda _: np.zeros((1, 1), np.uint8)).for_choosing(3)
    assert [p.name for p in found.held_out] == ["one/4", "one/5", "two/4", "two/5"]
    assert len(found.train) == 8 and not set(apart) & set(found.train + found.held_out)
