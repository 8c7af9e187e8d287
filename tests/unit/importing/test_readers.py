"""What the four readers find: exports of ours come back, data of others too, and bad items are named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from backends.core.errors import BadInput
from backends.core.types import Mask
from backends.settings import Settings
from pipelines.export.write import RECORD, export
from pipelines.importing.coco import decode
from pipelines.importing.found import FoundClip, FoundData
from pipelines.importing.run import check_project, read
from pipelines.media.palette import index_png
from tests.export_house import (
    DISC,
    LABELS,
    LEFT,
    PARTS,
    RIGHT,
    RING,
    SIZE_HW,
    clip,
    clip_xml,
    photo,
    photo_xml,
    pictures,
    project,
)

BUS = "bus-1a2b3c4d5e-000"
HEIGHT, WIDTH = SIZE_HW
SETTINGS = Settings()


def found(folder: Path, name: str) -> FoundData:
    return read(name, folder, SETTINGS)


def masks(one: FoundClip) -> dict[tuple[str, str], Mask]:
    """(frame, label) -> mask."""
    return {
        (one.names[index], label): mask
        for index in range(len(one.frames))
        for label, mask in one.masks(index).masks.items()
    }


def same(there: Mapping[Any, Mask], wanted: Mapping[Any, Mask]) -> None:
    assert set(there) == set(wanted)
    for key, mask in wanted.items():
        assert np.array_equal(there[key], mask), key


@pytest.mark.parametrize("name", ["davis", "youtube-vos", "coco", "voc"])
def test_what_was_exported_comes_back(name: str, tmp_path: Path) -> None:
    work = project(
        clip(tmp_path, [("object 1", 0, RING), (LABELS[2], 0, LEFT & ~RING), ("object 1", 2, PARTS)]),
        clip(
            tmp_path,
            [("object 1", 1, DISC)],
            name="bär-001",
            files=("0.png", "1.png"),
            number=8,
            data={"names": ["00005", "00010"]},
        ),
    )
    export(work, name, tmp_path / "out")
    there = found(tmp_path / "out", name)
    assert there.labels == LABELS, "numbers stay, those without a mask too"
    by_name = {one.name: one for one in there.clips}
    assert set(by_name) == {BUS, "bär-001"}
    wanted = {("00000", "object 1"): RING, ("00000", LABELS[2]): LEFT & ~RING, ("00002", "object 1"): PARTS}
    same(masks(by_name[BUS]), wanted)
    same(masks(by_name["bär-001"]), {("00010", "object 1"): DISC})
    assert by_name[BUS].names == ("00000", "00001", "00002")
    assert by_name[BUS].frames[1].read_bytes() == work.clips[0].frames[1].read_bytes()
    assert not there.notes


def sequence(home: Path, name: str, maps: Mapping[str, NDArray[Any]], sub: str = "") -> None:
    """A sequence of DAVIS or YouTube-VOS with frames 00000.jpg to 00002.jpg."""
    pictures(home / "JPEGImages" / sub / name, ("00000.jpg", "00001.jpg", "00002.jpg"))
    folder = home / "Annotations" / sub / name
    folder.mkdir(parents=True)
    for stem, numbers in maps.items():
        (folder / f"{stem}.png").write_bytes(index_png(numbers.astype(np.uint8)))


def test_davis_of_others_gets_a_label_per_number(tmp_path: Path) -> None:
    sequence(tmp_path, "bear", {"00000": np.where(RING, 3, 0), "00002": np.where(LEFT, 1, 255)}, "480p")
    sequence(tmp_path, "bus", {"00000": np.where(RIGHT, 255, 0)}, "480p")
    there = found(tmp_path, "davis")
    assert there.labels == ("object 1", "object 2", "object 3")
    bear, bus = there.clips
    same(masks(bear), {("00000", "object 3"): RING, ("00002", "object 1"): LEFT})
    same(masks(bus), {("00000", "object 1"): RIGHT})  # white on black is one object, beside others it is void


def test_davis_takes_names_from_snapshots(tmp_path: Path) -> None:
    sequence(tmp_path, "bear", {"00000": np.where(RING, 3, 0)})
    (tmp_path / "objects.json").write_text(json.dumps({"bear": {"3": "der Bär"}, "bus": {"1": "bus"}}))
    assert found(tmp_path, "davis").labels == ("bus", "object 2", "der Bär")
    (tmp_path / "objects.json").write_text(json.dumps({"bear": {"1": "a"}, "bus": {"1": "b"}}))
    with pytest.raises(BadInput, match="object 1 has two names"):
        found(tmp_path, "davis")


def test_bad_sequences_and_masks_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    sequence(tmp_path, "bear", {"00000": np.where(RING, 1, 0), "00009": np.where(RING, 1, 0)})
    sequence(tmp_path, "bus", {"00000": np.ones((5, 5))})
    (tmp_path / "Annotations" / "none").mkdir()
    (tmp_path / "Annotations" / "bear" / "00001.png").write_bytes(b"junk")
    there = found(tmp_path, "davis")
    assert [one.name for one in there.clips] == ["bear", "bus"]
    notes = "\n".join(there.notes)
    assert "JPEGImages/none" in notes and "1 masks have no frame (00009.png first)" in notes
    with pytest.raises(BadInput, match="5x5 pixels; its frame has 33x24"):
        there.clips[1].masks(0)
    with pytest.raises(BadInput, match=r"00001\.png"):
        there.clips[0].masks(1)
    assert there.clips[0].masks(0).masks and not there.clips[0].masks(2).masks


def meta(home: Path, **videos: dict[str, str]) -> None:
    told = {
        name: {"objects": {number: {"category": what, "frames": []} for number, what in objects.items()}}
        for name, objects in videos.items()
    }
    (home / "meta.json").write_text(json.dumps({"videos": told}))


def test_youtube_vos_categories_become_labels_where_they_can(tmp_path: Path) -> None:
    home = tmp_path / "train"
    sequence(home, "a1", {"00000": np.where(RING, 2, 0)})
    sequence(home, "b2", {"00000": np.where(LEFT, 1, 0)})
    meta(home, a1={"2": "dog"}, b2={"1": "person"})
    there = found(tmp_path, "youtube-vos")
    assert there.labels == ("person", "dog")
    assert [dict(one.categories) for one in there.clips] == [{}, {}]
    meta(home, a1={"2": "person"}, b2={"1": "person"})
    there = found(tmp_path, "youtube-vos")
    assert there.labels == ("object 1", "object 2"), "a category with two numbers is no identity"
    assert [dict(one.categories) for one in there.clips] == [{"2": "person"}, {"1": "person"}]
    (home / "meta.json").unlink()
    with pytest.raises(BadInput, match=r"meta\.json"):
        found(tmp_path, "youtube-vos")


def rle(mask: Mask) -> dict[str, Any]:
    packed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": packed["counts"].decode()}


def plain_rle(mask: Mask) -> dict[str, Any]:
    """COCO's uncompressed RLE: runs down the columns, background first."""
    flat = mask.T.ravel().astype(np.int8)
    ends = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *ends, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs}


def instances(
    home: Path, images: list[dict[str, Any]], annotations: list[dict[str, Any]], **more: Any
) -> None:
    categories = [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}, {"id": 5, "name": "unused"}]
    (home / "annotations").mkdir(parents=True, exist_ok=True)
    sized = [{"height": HEIGHT, "width": WIDTH, **image} for image in images]
    told = {"images": sized, "annotations": annotations, "categories": categories, **more}
    (home / "annotations" / "instances_val2017.json").write_text(json.dumps(told))


def annotation(number: int, image: int, category: int, segmentation: Any, **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": category, "segmentation": segmentation, **more}


def test_coco_of_others_makes_an_object_of_each_instance(tmp_path: Path) -> None:
    pictures(tmp_path / "val2017", ("000139.jpg", "000285.jpg"))
    square = [[2.0, 3.0, 8.0, 3.0, 8.0, 9.0, 2.0, 9.0]]
    instances(
        tmp_path,
        [{"id": 139, "file_name": "000139.jpg"}, {"id": 285, "file_name": "000285.jpg"}],
        [
            annotation(1, 139, 18, rle(RING)),
            annotation(2, 139, 18, plain_rle(RIGHT)),
            annotation(3, 285, 18, square),
            annotation(4, 285, 1, rle(LEFT), iscrowd=1),
        ],
    )
    there = found(tmp_path, "coco")
    assert there.labels == ("person", "dog", "dog #2")
    first, second = there.clips
    same(masks(first), {("000139", "dog"): RING, ("000139", "dog #2"): RIGHT})
    square_mask = np.zeros(SIZE_HW, np.bool_)
    square_mask[3:9, 2:8] = True
    same(masks(second), {("000285", "dog"): square_mask, ("000285", "person"): LEFT})


def test_coco_pictures_of_a_video_become_one_clip_with_tracks(tmp_path: Path) -> None:
    pictures(tmp_path / "images", ("a.jpg", "b.jpg"))
    instances(
        tmp_path,
        [
            {"id": 1, "file_name": "b.jpg", "video_id": 4, "frame_index": 0},
            {"id": 2, "file_name": "a.jpg", "video_id": 4, "frame_index": 1},
        ],
        [
            annotation(1, 1, 18, rle(LEFT), track_id=70),
            annotation(2, 1, 18, rle(RIGHT), track_id=71),
            annotation(3, 2, 18, rle(RIGHT), track_id=71),
        ],
        videos=[{"id": 4, "name": "walk"}],
    )
    [walk] = found(tmp_path, "coco").clips
    assert (walk.name, walk.names) == ("walk", ("b", "a"))
    same(masks(walk), {("b", "dog"): LEFT, ("b", "dog #2"): RIGHT, ("a", "dog #2"): RIGHT})


def test_coco_pictures_in_a_folder_of_their_own_are_a_clip_if_they_have_one_size(tmp_path: Path) -> None:
    pictures(tmp_path / "images" / "walk", ("10.jpg", "9.jpg"))
    pictures(tmp_path / "images" / "mixed", ("1.jpg",))
    pictures(tmp_path / "images" / "mixed", ("2.jpg",), (10, 12))
    files = ["walk/10.jpg", "walk/9.jpg", "mixed/1.jpg", "mixed/2.jpg"]
    images = [{"id": number, "file_name": file} for number, file in enumerate(files)]
    images[3] |= {"height": 10, "width": 12}
    instances(tmp_path, images, [annotation(1, 0, 18, rle(RING))])
    there = found(tmp_path, "coco")
    assert {one.name: one.names for one in there.clips} == {
        "walk": ("9", "10"),
        "mixed-1": ("1",),
        "mixed-2": ("2",),
    }
    assert any("several sizes" in note for note in there.notes)


def test_bad_annotations_of_coco_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    pictures(tmp_path / "images", ("a.jpg", "b.jpg"))
    (tmp_path.parent / "outside.jpg").write_bytes((tmp_path / "images" / "a.jpg").read_bytes())
    instances(
        tmp_path,
        [
            {"id": 1, "file_name": "a.jpg"},
            {"id": 2, "file_name": "gone.jpg"},
            {"id": 3, "file_name": "../../outside.jpg"},
            {"id": 4, "file_name": "b.jpg", "height": 99},
        ],
        [
            annotation(1, 1, 18, rle(RING)),
            annotation(2, 1, 18, {"size": [24, 33], "counts": "junk\u0001"}),
            annotation(3, 1, 18, {"size": [9, 9], "counts": [81]}),
            annotation(4, 1, 18, [[1.0, 2.0, 3.0, 4.0]]),
            annotation(5, 1, 18, {"size": [24, 33], "counts": [5, 5]}),
            annotation(6, 1, 18, None),
            annotation(7, 1, 99, rle(RING)),
            annotation(8, 77, 18, rle(RING)),
        ],
    )
    there = found(tmp_path, "coco")
    [one] = there.clips
    read_there = one.masks(0)
    same(read_there.masks, {"dog": RING})
    assert [refusal.partition(":")[0] for refusal in read_there.refused] == [
        f"annotation {number}" for number in range(2, 7)
    ]
    notes = "\n".join(there.notes)
    assert "not there: 2" in notes and "another size" in notes and "cannot be used: 2" in notes


def test_a_hostile_rle_is_refused_before_it_is_unpacked() -> None:
    for counts in ([-5, 797], [10**12], "~" * 5000, [1.5, 2], ["x"], {}):
        with pytest.raises(BadInput):
            decode({"size": list(SIZE_HW), "counts": counts}, SIZE_HW)


def test_photos_exported_as_voc_come_back_as_pictures_with_an_object_per_region(tmp_path: Path) -> None:
    work = project(photo(tmp_path, [("object 1", 0, LEFT), ("object 1", 0, RIGHT)]), kind="weak_shot")
    export(work, "voc", tmp_path / "out")
    there = found(tmp_path / "out", "voc")
    assert there.labels == (*LABELS, "object 1 #2")
    [one] = there.clips
    same(masks(one), {("photo-1", "object 1"): LEFT, ("photo-1", "object 1 #2"): RIGHT})


def voc(home: Path, name: str, classes: NDArray[Any], objects: NDArray[Any] | None = None) -> None:
    path = Path(name)
    pictures(home / "JPEGImages" / path.parent, (f"{path.name}.jpg",))
    maps = {"SegmentationClass": classes, "SegmentationObject": objects}
    for folder, numbers in maps.items():
        if numbers is not None:
            (home / folder / path.parent).mkdir(parents=True, exist_ok=True)
            (home / folder / f"{name}.png").write_bytes(index_png(numbers.astype(np.uint8)))


def test_voc_of_others_with_its_own_classes_objects_and_void(tmp_path: Path) -> None:
    cat, person = 8, 15
    classes = np.where(LEFT, cat, np.where(RIGHT, person, 0))
    classes[0, :] = 255
    voc(tmp_path, "2007_000032", classes, np.where(LEFT, 2, np.where(RIGHT, 1, 255)))
    voc(tmp_path, "2007_000033", np.where(RING, cat, 0))  # no object map: a class is an object
    voc(tmp_path, "walk/1", np.where(RING, cat, 0))
    voc(tmp_path, "walk/2", np.where(DISC, cat, 0))
    there = found(tmp_path, "voc")
    assert there.labels == ("cat", "person")
    by_name = {one.name: masks(one) for one in there.clips}
    same(by_name["2007_000032"], {("2007_000032", "cat"): LEFT, ("2007_000032", "person"): RIGHT})
    same(by_name["2007_000033"], {("2007_000033", "cat"): RING})
    same(by_name["walk"], {("1", "cat"): RING, ("2", "cat"): DISC})


def test_voc_with_a_labelmap_and_coloured_maps(tmp_path: Path) -> None:
    voc(tmp_path, "a", np.zeros(SIZE_HW), None)
    voc(tmp_path, "b", np.where(RING, 99, 0), None)
    colours = np.zeros((*SIZE_HW, 3), np.uint8)
    colours[LEFT], colours[RIGHT] = (10, 20, 30), (200, 0, 7)
    Image.fromarray(colours).save(tmp_path / "SegmentationClass" / "a.png")
    (tmp_path / "labelmap.txt").write_text("# c\nbackground:0,0,0::\nÄpfel:10,20,30::\nbus:200,0,7::\n")
    there = found(tmp_path, "voc")
    assert there.labels == ("Äpfel", "bus")
    same(masks(there.clips[0]), {("a", "Äpfel"): LEFT, ("a", "bus"): RIGHT})
    assert any("is no class" in note and "b.png" in note for note in there.notes)
    (tmp_path / "labelmap.txt").write_text("background:0,0,0::\nbus:1,2::\n")
    with pytest.raises(BadInput, match="wants label:red,green,blue"):
        found(tmp_path, "voc")


def test_more_instances_than_labels_share_their_category(tmp_path: Path) -> None:
    pictures(tmp_path / "images", ("a.jpg",))
    dots = []
    for number in range(300):
        dot = np.zeros(SIZE_HW, np.bool_)
        dot.flat[number] = True
        dots.append(annotation(number, 1, 18, rle(dot)))
    instances(tmp_path, [{"id": 1, "file_name": "a.jpg"}], dots)
    there = found(tmp_path, "coco")
    assert there.labels == ("dog",)
    assert there.clips[0].masks(0).masks["dog"].sum() == 300


@pytest.mark.parametrize(
    ("name", "spoil", "says"),
    [
        ("davis", lambda home: None, "no folder JPEGImages"),
        ("voc", lambda home: None, "no folder SegmentationClass"),
        ("coco", lambda home: None, "no annotation file"),
        ("kitti", lambda home: None, "no reader of 'kitti'"),
        ("coco", lambda home: (home / "a.json").write_text("{"), "no JSON"),
        ("coco", lambda home: (home / "a.json").write_text("[1]"), "no annotation file"),
        ("davis", lambda home: sequence(home, "x", {"00000": np.zeros(SIZE_HW)}), "nothing is labelled"),
        ("voc", lambda home: voc(home, "a", np.zeros(SIZE_HW)), "no picture shows a class"),
        ("davis", lambda home: shutil.rmtree(home), "no such folder"),
    ],
)
def test_a_folder_that_is_something_else_is_refused(
    name: str, spoil: Callable[[Path], object], says: str, tmp_path: Path
) -> None:
    spoil(tmp_path)
    with pytest.raises(BadInput, match=says):
        found(tmp_path, name)


def test_a_project_that_cannot_hold_the_data_is_refused_by_name(tmp_path: Path) -> None:
    sequence(tmp_path, "bear", {"00000": np.where(RING, 4, 0)})
    there = found(tmp_path, "davis")
    with pytest.raises(BadInput, match=r"'Bears' lacks the label 'object 2' \(3 in all\)"):
        check_project(clip_xml(), there, "Bears")
    with pytest.raises(BadInput, match="cannot hold clips"):
        check_project(photo_xml(), there, "Bears")
    assert check_project(clip_xml(there.labels), there, "Bears").objects == there.labels


def test_only_some_sequences(tmp_path: Path) -> None:
    for name in ("bear", "bus"):
        sequence(tmp_path, name, {"00000": np.where(RING, 1, 0)})
    assert [one.name for one in read("davis", tmp_path, SETTINGS, ["bus"]).clips] == ["bus"]
    with pytest.raises(BadInput, match="no sequence bat; there are 2, among them bear, bus"):
        read("davis", tmp_path, SETTINGS, ["bat"])
    pictures(tmp_path / "images", ("a.jpg", "b.jpg"))
    instances(
        tmp_path,
        [{"id": number, "file_name": f"{'ab'[number]}.jpg"} for number in (0, 1)],
        [annotation(number, number, 18 - 17 * number, rle(RING)) for number in (0, 1)],
    )
    some = read("coco", tmp_path, SETTINGS, ["b"])
    assert [one.name for one in some.clips] == ["b"] and some.labels == ("person",)


def test_a_record_that_was_spoilt_is_as_none(tmp_path: Path) -> None:
    work = project(clip(tmp_path, [("object 1", 0, RING)]))
    export(work, "davis", tmp_path / "out")
    (tmp_path / "out" / RECORD).write_text("[")
    assert found(tmp_path / "out", "davis").labels == LABELS, "objects.json says it too"
