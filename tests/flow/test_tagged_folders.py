"""Each layout of photos, opened from real files, broken ones too."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from backends.core.errors import BadInput, BadMask, BadMedia
from backends.core.images import read_index_mask
from backends.weak_shot.loaders import davis_stills, open_photos, voc
from backends.weak_shot.loaders.folders import table
from backends.weak_shot.photos import Photos
from tests.tagged_folders import (
    CCP_LABELS,
    draw,
    make_ccp,
    make_snapshot,
    make_stills,
    make_voc,
    put_json,
    save_mat,
    save_photo,
    write_xml,
)

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = {
    "0001": ["skin", "bag"],
    "0002": ["hair", "coat", "accessories"],
    "0600": ["jeans", "skin"],
    "0601": ["boots", "hair"],
}
PETS = {"names": ["cat", "dog", "fish"], "novel": ["fish"]}


def real(name: str) -> Path:
    """A real data set, or the test skips with the reason."""
    data = Path(os.environ.get("MASKLOOP_DATA", ROOT.parent / "shared" / "data")) / name
    if not data.is_dir():
        reason = f"{data} is not there: set MASKLOOP_DATA to the folder that holds {name}"
        print(reason)
        pytest.skip(reason)
    return data


def leaks(photos: Photos) -> list[str]:
    """Training photos whose base truth shows a novel class."""
    novel = photos.classes.novel_ids
    return [p.name for p in photos.base_images if np.isin(photos.base_truth(p), novel).any()]


# CCP-5i


def test_ccp_maps_labels_to_classes(tmp_path: Path) -> None:
    photos = open_photos(make_ccp(tmp_path, PHOTOS), 0)
    assert [p.name for p in photos.train] == ["0001", "0002", "0600"]
    assert [p.name for p in photos.held_out] == ["0601"]
    assert photos.train[1].tags == ("coat", "hair"), "accessories is no class"
    labels = photos.truth(photos.train[1])
    drawn = read_index_mask(photos.train[1].mask_path or tmp_path)
    assert np.all(labels[drawn == CCP_LABELS.index("hair")] == photos.classes.id_of("hair"))
    assert np.all(labels[drawn == CCP_LABELS.index("accessories")] == 255)
    assert np.all(labels[drawn == CCP_LABELS.index("null")] == 0)


@pytest.mark.parametrize("fold", range(4))
def test_ccp_folds_hide_their_novel_classes(tmp_path: Path, fold: int) -> None:
    photos = open_photos(make_ccp(tmp_path, PHOTOS), fold)
    assert len(photos.classes) == 23 and len(photos.classes.novel_ids) == 5
    assert not {"skin", "hair", "shoes"} & photos.classes.novel
    novel_photo = {0: "0001", 1: "0002", 2: "0600", 3: None}[fold]
    assert [p.name for p in photos.novel_images] == ([novel_photo] if novel_photo else [])
    assert not leaks(photos)


def test_ccp_tells_what_it_leaves_out(tmp_path: Path) -> None:
    root = make_ccp(tmp_path, PHOTOS)
    (root / "masks" / "0002.png").unlink()
    tags = {"0001": ["skin", "bag"], "0600": ["jeans"], "0601": ["boots"], "0999": ["hat"]}
    put_json(root / "image_tags.json", tags)
    photos = open_photos(root, 0)
    assert [p.name for p in photos.train] == ["0001", "0600"]
    assert any("1 photos without mask or tags" in note and "0002" in note for note in photos.notes)
    assert any("names 1 photos that are not there, the first is 0999" in note for note in photos.notes)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda root: put_json(root / "labels.json", ["null", "skin"]), "lacks the labels hair"),
        (lambda root: put_json(root / "labels.json", {"null": 0}), "wants a list of"),
        (lambda root: (root / "labels.json").write_text("{"), r"labels\.json: not JSON"),
        (lambda root: put_json(root / "image_tags.json", ["skin"]), "got a list"),
        (lambda root: put_json(root / "image_tags.json", {"0001": "skin"}), "'0001' has a text"),
        (lambda root: put_json(root / "image_tags.json", {}), "no photo has both"),
        (lambda root: (root / "masks").rename(root / "somewhere"), "masks: no such folder"),
        (lambda root: (root / "images" / "0001.jpg").write_bytes(b"x"), "share a name"),
    ],
)
def test_ccp_folders_that_cannot_be_used(tmp_path: Path, spoil, says: str) -> None:  # type: ignore[no-untyped-def]
    root = make_ccp(tmp_path, PHOTOS)
    spoil(root)
    with pytest.raises(BadInput, match=says):
        open_photos(root, 0)


def test_a_fold_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="fold 4: CCP-5i has the folds 0 to 3"):
        open_photos(make_ccp(tmp_path, PHOTOS), 4)


def test_a_broken_mask_is_named(tmp_path: Path) -> None:
    root = make_ccp(tmp_path, PHOTOS)
    photos = open_photos(root, 3)
    (root / "masks" / "0001.png").write_bytes(b"not a picture")
    save_photo(root / "masks" / "0002.png", draw([1], (10, 10))[1])
    with pytest.raises(BadMask, match=r"0001\.png: not an image"):
        photos.base_truth(photos.train[0])
    with pytest.raises(BadMask, match=r"0002\.png: 10x10 pixels; its photo has 60x40"):
        photos.base_truth(photos.train[1])


@pytest.mark.data
@pytest.mark.parametrize(("fold", "base"), [(0, 51), (1, 180), (2, 326), (3, 402)])
def test_ccp_as_it_is(fold: int, base: int) -> None:
    photos = open_photos(real("ccp"), fold)
    assert (len(photos.train), len(photos.held_out), len(photos.base_images)) == (600, 104, base)
    assert photos.train[-1].name == "0600" and not photos.notes
    assert photos.for_choosing().held_out[0].name == "0501"
    for photo in photos.held_out[:3]:
        shown = set(np.unique(photos.truth(photo))) - {0, 255}
        assert shown == set(photos.tag_ids(photo))


# Pascal VOC 2012 with SBD

PARTS = {
    "train": {"2007_000032": [1, 15], "2007_000039": [20]},
    "val": {"2007_000033": [1]},
    "sbd": {"2008_000002": [9, 12], "2007_000033": [1], "2007_000039": [20]},
}


def test_voc_takes_sbd_without_val_and_its_own_masks_first(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "VOCdevkit" / "VOC2012", PARTS)
    for place in (root, root.parent, root.parent.parent):
        photos = open_photos(place, 0)
        assert [p.name for p in photos.train] == ["2007_000032", "2007_000039", "2008_000002"]
        assert [p.name for p in photos.held_out] == ["2007_000033"]
        suffixes = {p.name: p.mask_path.suffix for p in photos.train if p.mask_path}
        assert suffixes == {"2007_000032": ".png", "2007_000039": ".png", "2008_000002": ".mat"}
        assert photos.train[2].tags == ("chair", "dog")
        assert np.array_equal(photos.truth(photos.train[2]), draw([9, 12])[1])


def test_voc_folds_are_fifths_in_order(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "VOC2012", PARTS)
    novel = [open_photos(root, fold).classes.novel_ids for fold in range(4)]
    assert novel == [tuple(range(5 * fold + 1, 5 * fold + 6)) for fold in range(4)]
    assert open_photos(root, 2).classes.novel == {"diningtable", "dog", "horse", "motorbike", "person"}


def test_voc_base_masks_never_show_what_the_xml_forgot(tmp_path: Path) -> None:
    """By its XML the photo is base for fold 0, but its mask shows a bird."""
    root = make_voc(tmp_path / "VOC2012", {**PARTS, "train": {"2007_000032": [15, 3]}})
    write_xml(root / "Annotations" / "2007_000032.xml", [15])
    photos = open_photos(root, 0)
    photo = photos.train[0]
    assert photos.is_base(photo)
    assert (photos.truth(photo) == 3).any()
    assert not leaks(photos)
    assert np.array_equal(photos.base_truth(photo) == 255, photos.truth(photo) == 3)


def test_voc_without_sbd_says_so(tmp_path: Path) -> None:
    photos = open_photos(make_voc(tmp_path / "VOC2012", {**PARTS, "sbd": {}}), 0)
    assert len(photos.train) == 2 and any("no SBD" in note for note in photos.notes)


def test_voc_with_sbd_as_pngs(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "VOC2012", {**PARTS, "sbd": {}})
    image, mask = draw([4])
    save_photo(root / "JPEGImages" / "2009_000001.jpg", image)
    write_xml(root / "Annotations" / "2009_000001.xml", [4])
    save_photo(root / "SegmentationClassAug" / "2009_000001.png", mask)
    photos = open_photos(root, 0)
    assert [p.name for p in photos.train][-1] == "2009_000001"
    assert np.array_equal(photos.truth(photos.train[-1]), mask)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<annotation>", "cannot be read"),
        ("<annotation/>", "names no object"),
        ("<annotation><object><name>zebra</name></object></annotation>", "names no object"),
    ],
)
def test_voc_xml_that_says_nothing(tmp_path: Path, text: str, says: str) -> None:
    root = make_voc(tmp_path / "VOC2012", PARTS)
    (root / "Annotations" / "2007_000039.xml").write_text(text)
    with pytest.raises(BadInput, match=rf"2007_000039\.xml.*{says}"):
        open_photos(root, 0)


def test_voc_lists_photos_that_are_not_there(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "VOC2012", PARTS)
    (root / "JPEGImages" / "2007_000039.jpg").unlink()
    photos = open_photos(root, 0)
    assert any("1 of 3 photos in train" in note for note in photos.notes)
    (root / "Annotations" / "2007_000032.xml").unlink()
    with pytest.raises(BadInput, match=r"2007_000032\.xml"):
        open_photos(root, 0)


def test_sbd_files_that_are_none(tmp_path: Path) -> None:
    root = make_voc(tmp_path / "VOC2012", PARTS)
    path = tmp_path / "SBD" / "cls" / "2008_000002.mat"
    photos = open_photos(root, 0)
    path.write_bytes(b"MATLAB 5.0 MAT-file, cut")
    with pytest.raises(BadMask, match=r"2008_000002\.mat: not a mask of SBD"):
        photos.truth(photos.train[2])
    save_mat(path, np.zeros((40, 60, 2), np.uint8))
    with pytest.raises(BadMask, match="3-D uint8"):
        photos.truth(photos.train[2])


def test_voc_names_are_twenty_in_folds_of_five() -> None:
    assert len(set(voc.NAMES)) == 20 and [len(fold) for fold in voc.FOLDS] == [5] * 4
    assert list(voc.NAMES) == sorted(voc.NAMES)


# DAVIS-stills


def test_stills_are_every_fifth_frame_split_by_time(tmp_path: Path) -> None:
    root = make_stills(tmp_path, {"bear": 50, "bus": 50, "my-cat": 10}, empty=[("bus", 45)])
    photos = open_photos(root, 0)
    assert [p.name for p in photos.train] == [f"{s}/{n:05d}" for s in ("bear", "bus") for n in _until(s)]
    last = {s: max(p.name for p in photos.train if p.name.startswith(s)) for s in ("bear", "bus")}
    assert all(p.name > last[p.name.partition("/")[0]] for p in photos.held_out)
    assert "bus/00045" not in {p.name for p in photos.held_out}, "an empty mask carries no tag"
    assert any("my-cat" in note for note in photos.notes)
    assert photos.is_novel(photos.train[0]) and photos.is_base(photos.train[-1])
    labels = photos.truth(photos.train[0])
    assert set(np.unique(labels)) == {0, photos.classes.id_of("bear")}


def _until(sequence: str) -> range:
    return range(0, 35 if sequence == "bear" else 30, 5)


def test_stills_swap_animals_and_vehicles(tmp_path: Path) -> None:
    root = make_stills(tmp_path, {"bear": 10, "bus": 10})
    animals, vehicles = (open_photos(root, fold).classes.novel for fold in (0, 1))
    assert "bear" in animals and "bus" in vehicles and not animals & vehicles
    with pytest.raises(BadInput, match="folds 0 to 1"):
        open_photos(root, 2)


def test_the_table_gives_each_sequence_one_class() -> None:
    told = table("davis_stills.json")
    sequences = Counter(name for group in told["classes"].values() for name in group)
    assert len(sequences) == 30 and set(sequences.values()) == {1}
    assert all(name in told["classes"] for fold in told["folds"] for name in fold)
    assert list(told["classes"]) == sorted(told["classes"])


@pytest.mark.data
def test_stills_as_they_are() -> None:
    root = real("davis2016-train")
    photos = open_photos(root, 1)
    assert {p.name.partition("/")[0] for p in photos.train} == set(davis_stills.class_of_sequence())
    assert {tag for p in photos.held_out for tag in p.tags} == set(photos.classes.names)
    assert len(photos.train) > 2 * len(photos.held_out) > 200 and not photos.notes


# Snapshots


def test_a_snapshot_says_what_is_novel_and_held_out(tmp_path: Path) -> None:
    told = {**PETS, "held_out": ["b"]}
    root = make_snapshot(tmp_path, told, {"a": [1, 2], "b": [2], "c": [3], "d": [1]}, masks=["a", "b"])
    photos = open_photos(root)
    assert [p.name for p in photos.train] == ["a", "c", "d"] and [p.name for p in photos.held_out] == ["b"]
    assert [p.name for p in photos.base_images] == ["a"] and [p.name for p in photos.novel_images] == ["c"]
    assert photos.classes.novel == {"fish"}
    assert np.array_equal(photos.base_truth(photos.train[0]), draw([1, 2])[1])


def test_a_snapshot_holds_a_fifth_out_by_name(tmp_path: Path) -> None:
    names = [f"p{i}" for i in range(40)]
    few = make_snapshot(tmp_path / "few", PETS, {name: [1] for name in names[:30]}, masks=names)
    more = make_snapshot(tmp_path / "more", PETS, {name: [1] for name in names}, masks=names[5:])
    apart, later = ({p.name for p in open_photos(root).held_out} for root in (few, more))
    assert 3 <= len(later) <= 14
    assert {name for name in apart if name not in names[:5]} == later & set(names[:30])


def test_a_snapshot_leaves_out_what_it_cannot_use(tmp_path: Path) -> None:
    root = make_snapshot(tmp_path, PETS, {"a": [1], "b": [2], "c": [3]}, masks=["a"])
    put_json(root / "tags.json", {"a": ["cat"], "b": ["dog", "cow"], "gone": ["cat"]})
    photos = open_photos(root)
    assert [p.name for p in photos.train + photos.held_out] == ["a"]
    notes = " / ".join(photos.notes)
    assert "b is left out: cow is no class" in notes and "c is left out: it has no tag" in notes
    assert "names 1 photos that are not there, the first is gone" in notes


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (["cat"], "wants"),
        ({"names": []}, r"classes\.json: 0 classes"),
        ({"names": ["cat"], "novel": ["cow"]}, "novel classes that are no classes"),
        ({**PETS, "held_out": "a"}, "held_out wants a list"),
        ({**PETS, "held_out": ["z"]}, "held_out names z"),
    ],
)
def test_snapshots_that_say_nothing_usable(tmp_path: Path, told: object, says: str) -> None:
    root = make_snapshot(tmp_path, PETS, {"a": [1]})
    put_json(root / "classes.json", told)
    with pytest.raises(BadInput, match=says):
        open_photos(root)


def test_a_snapshot_without_usable_photos(tmp_path: Path) -> None:
    root = make_snapshot(tmp_path, PETS, {"a": [1]})
    put_json(root / "tags.json", {"a": []})
    with pytest.raises(BadInput, match=r"no photo has a usable tag in tags\.json; a is left out"):
        open_photos(root)
    (root / "images" / "a.jpg").unlink()
    with pytest.raises(BadMedia, match="no photos in it"):
        open_photos(root)


# Anything else


def test_folders_of_no_known_layout(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        open_photos(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="no known layout of photos; wants images/ masks/"):
        open_photos(tmp_path)
