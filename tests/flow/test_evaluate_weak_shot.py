"""C of base and novel classes on drawn folders, where the right answer is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from backends.core.errors import BadInput, BadMask
from backends.core.images import read_index_mask
from backends.core.types import Image
from backends.weak_shot.loaders import open_photos
from pipelines.evaluate_weak_shot import check_classes, evaluate_weak_shot
from tests.tagged_folders import draw, make_ccp, make_snapshot, save_photo

PHOTOS = {"0001": ["skin", "bag"], "0601": ["skin", "bag"], "0602": ["hair", "accessories"]}
FIGURES = ("c", "c_base", "c_novel")


def knowing(photos, forget: str = ""):  # type: ignore[no-untyped-def]
    """Answers with the truth, told from the picture; ``forget`` and ignored pixels become background."""
    known = {photos.image(photo).tobytes(): photos.truth(photo) for photo in photos.held_out}
    lost = photos.classes.id_of(forget) if forget else 255

    def answer(image: Image, tags: tuple[str, ...]) -> NDArray[np.uint8]:
        labels = known[image.tobytes()].copy()
        labels[(labels == 255) | (labels == lost)] = 0
        return labels

    return answer


def test_the_truth_scores_one_and_ignored_pixels_do_not_count(tmp_path: Path) -> None:
    photos = open_photos(make_ccp(tmp_path, PHOTOS), 0)
    found = evaluate_weak_shot({"pseudo_masks": knowing(photos)}, photos).to_json("v")
    part = found["pseudo_masks"]
    assert [part[name] for name in FIGURES] == [1.0, 1.0, 1.0]
    assert (part["n_base"], part["n_novel"]) == (3, 1)  # background, skin, hair; bag
    assert part["per_class"]["bag"] == 1.0 and part["per_class"]["coat"] is None
    assert found["photos"] == 2 and found["version"] == "v" and found["fold"] == 0
    json.dumps(found, allow_nan=False)


def test_a_forgotten_novel_class_shows_in_c_novel(tmp_path: Path) -> None:
    photos = open_photos(make_ccp(tmp_path, PHOTOS), 0)
    answers = {"pseudo_masks": knowing(photos, "bag"), "network": knowing(photos, "hair")}
    found = evaluate_weak_shot(answers, photos).to_json("v")
    masks, network = found["pseudo_masks"], found["network"]
    assert masks["c_novel"] == 0 < masks["c_base"] < 1
    assert network["c_novel"] == 1 and network["per_class"]["hair"] == 0
    for part in (masks, network):
        total = part["n_base"] * part["c_base"] + part["n_novel"] * part["c_novel"]
        assert part["c"] == pytest.approx(total / (part["n_base"] + part["n_novel"]), abs=2e-6)
    assert [found[name] for name in FIGURES] == [network[name] for name in FIGURES]


def test_the_method_is_told_tags_and_nothing_else(tmp_path: Path) -> None:
    photos = open_photos(make_ccp(tmp_path, PHOTOS), 0)
    told: list[tuple[str, ...]] = []

    def answer(image: Image, tags: tuple[str, ...]) -> NDArray[np.uint8]:
        assert image.shape == (40, 60, 3)
        told.append(tags)
        return np.zeros(image.shape[:2], np.uint8)

    evaluate_weak_shot({"pseudo_masks": answer}, photos)
    assert told == [("bag", "skin"), ("hair",)]


def test_masks_are_written_where_wanted(tmp_path: Path) -> None:
    photos = open_photos(make_ccp(tmp_path / "data", PHOTOS), 0)
    evaluate_weak_shot({"network": knowing(photos)}, photos, masks_out=tmp_path / "out")
    written = read_index_mask(tmp_path / "out" / "network" / "0601.png")
    assert np.array_equal(written, photos.truth(photos.held_out[0]))


def test_the_table_names_novel_classes_and_times(tmp_path: Path) -> None:
    photos = open_photos(make_ccp(tmp_path, PHOTOS), 0)
    text = evaluate_weak_shot({"pseudo_masks": knowing(photos)}, photos).table()
    assert "bag *" in text and "c_novel" in text and "2 held-out photos of CCP-5i, fold 0" in text


def test_nothing_to_score_on(tmp_path: Path) -> None:
    told = {"names": ["cat", "dog"], "novel": ["dog"]}
    photos = open_photos(make_snapshot(tmp_path, told, {"a": [1], "b": [2]}))
    with pytest.raises(BadInput, match="nothing to score on"):
        evaluate_weak_shot({"network": lambda image, tags: draw([1])[1]}, photos)


def test_a_broken_photo_or_mask_ends_the_scoring(tmp_path: Path) -> None:
    root = make_ccp(tmp_path, PHOTOS)
    photos = open_photos(root, 0)
    answer = knowing(photos)
    save_photo(root / "masks" / "0602.png", draw([1], (8, 8))[1])
    with pytest.raises(BadMask, match=r"0602\.png"):
        evaluate_weak_shot({"network": answer}, photos)


def test_weights_of_another_fold_or_other_classes_are_refused(tmp_path: Path) -> None:
    root = make_ccp(tmp_path / "ccp", PHOTOS)
    photos = open_photos(root, 0)
    check_classes(photos.classes, photos)
    with pytest.raises(BadInput, match="trained with belt, blouse, coat, shirt, skirt as novel, but fold 0"):
        check_classes(open_photos(root, 1).classes, photos)
    pets = open_photos(make_snapshot(tmp_path / "pets", {"names": ["cat"]}, {"a": [1]}, masks=["a"]))
    with pytest.raises(BadInput, match="know the classes cat; the photos have bag"):
        check_classes(pets.classes, photos)
