"""Each format as other people's programs read it: pycocotools, datumaro, and our own reader of DAVIS."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO
from shapely import Polygon

from backends.core.errors import BadInput
from backends.core.types import Mask
from backends.video_semantic.loaders import cityscapes as scenes
from pipelines.export.formats import FORMATS, cityscapes
from pipelines.export.formats.view import frame_names
from pipelines.export.project import ProjectWork
from pipelines.export.write import export
from pipelines.media.davis import open_sequence
from tests.export_house import (
    DISC,
    LABELS,
    LEFT,
    PARTS,
    RIGHT,
    RING,
    SIZE_HW,
    Painted,
    clip,
    photo,
    pictures,
    project,
)
from tests.unit.export.test_polygons import drawn

BUS = "bus-1a2b3c4d5e-000"
BEAR = "bär-001"
HIDDEN, DOG = LABELS[1], LABELS[2]
MASKS: list[Painted] = [
    ("object 1", 0, RING),
    (HIDDEN, 0, RIGHT),
    ("object 1", 1, PARTS),
    ((HIDDEN, DOG), 1, LEFT),  # one region of two labels
    (DOG, 2, LEFT),
    (DOG, 2, RIGHT),  # two regions of one object
]
SEEN: dict[tuple[int, str], Mask] = {
    (0, "object 1"): RING & ~RIGHT,
    (0, HIDDEN): RIGHT,
    (1, "object 1"): PARTS & ~LEFT,
    (1, DOG): LEFT,
    (2, DOG): LEFT | RIGHT,
}
"""What a plane keeps: the later label lies on top, so HIDDEN vanishes on frame 1."""


@pytest.fixture
def work(tmp_path: Path) -> ProjectWork:
    bear = clip(tmp_path, [("object 1", 1, DISC)], name=BEAR, number=8, files=("a1.png", "a2.png"))
    return project(clip(tmp_path, MASKS), bear)


def written(work: ProjectWork, name: str, out: Path) -> tuple[Path, str]:
    """The folder, and what was lost, as one text."""
    exported = export(work, name, out)
    assert exported.folder == out
    return out, "\n".join(exported.lost)


def datumaro_masks(out: Path, name: str) -> dict[tuple[str, str], Mask]:
    """(picture, label) -> mask, as datumaro reads them."""
    import datumaro as dm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dm.Dataset.import_from(str(out), name)
        labels = dataset.categories()[dm.AnnotationType.label]
        return {
            (item.id, labels[one.label].name): np.asarray(one.image).astype(np.bool_)
            for item in dataset
            for one in item.annotations
            if one.type == dm.AnnotationType.mask
        }


def same(found: Mapping[Any, Mask], wanted: Mapping[Any, Mask]) -> None:
    assert set(found) == set(wanted)
    for key, mask in wanted.items():
        assert np.array_equal(found[key], mask), key


def test_davis_is_read_by_our_own_reader_to_the_pixel(work: ProjectWork, tmp_path: Path) -> None:
    out, lost = written(work, "davis", tmp_path / "out")
    sequence = open_sequence(out, BUS)
    assert sequence.clip.names == ("00000", "00001", "00002")
    for index in range(3):
        truth = np.asarray(Image.open(sequence.mask_paths[index]))
        same(
            {(index, LABELS[number - 1]): truth == number for number in np.unique(truth) if number},
            {key: mask for key, mask in SEEN.items() if key[0] == index},
        )
        picture = out / "JPEGImages" / "480p" / BUS / f"0000{index}.jpg"
        assert picture.read_bytes() == work.clips[0].frames[index].read_bytes()
    assert json.loads((out / "objects.json").read_text()) == {"1": LABELS[0], "2": HIDDEN, "3": DOG}
    assert (out / "ImageSets/2017/train.txt").read_text().split() == [BUS, BEAR]
    covered = int((RING & RIGHT).sum() + (PARTS & LEFT).sum() + LEFT.sum())
    assert f"{covered} on 2 frames" in lost and f"{HIDDEN!r} on {BUS}/00001" in lost
    assert "no .jpg" in lost and "written as background" in lost and "not on the first frame" in lost


def test_youtube_vos_says_on_which_frames_an_object_is(work: ProjectWork, tmp_path: Path) -> None:
    out, _ = written(work, "youtube-vos", tmp_path / "out")
    videos = json.loads((out / "meta.json").read_text())["videos"]
    assert videos[BUS]["objects"] == {
        "1": {"category": "object 1", "frames": ["00000", "00001"]},
        "2": {"category": HIDDEN, "frames": ["00000"]},  # wholly covered on frame 1
        "3": {"category": DOG, "frames": ["00001", "00002"]},
    }
    assert videos[BEAR]["objects"] == {"1": {"category": "object 1", "frames": ["a2"]}}
    for name, video in videos.items():
        for number, told in video["objects"].items():
            for frame in (path.stem for path in sorted((out / "Annotations" / name).iterdir())):
                seen = np.asarray(Image.open(out / "Annotations" / name / f"{frame}.png")) == int(number)
                assert seen.any() == (frame in told["frames"]), (name, number, frame)


def test_coco_keeps_overlaps_holes_and_labels_as_pycocotools_reads_them(
    work: ProjectWork, tmp_path: Path
) -> None:
    out, _ = written(work, "coco", tmp_path / "out")
    coco = COCO(str(out / "annotations" / "instances_train.json"))
    assert [one["name"] for one in coco.loadCats(coco.getCatIds())] == list(LABELS)
    found = {
        (image["video_id"], image["frame_index"], LABELS[one["track_id"] - 1]): coco.annToMask(one)
        for image in coco.loadImgs(coco.getImgIds())
        for one in coco.loadAnns(coco.getAnnIds(image["id"]))
    }
    whole = {
        (7, 0, "object 1"): RING,
        (7, 0, HIDDEN): RIGHT,
        (7, 1, "object 1"): PARTS,
        (7, 1, HIDDEN): LEFT,
        (7, 1, DOG): LEFT,
        (7, 2, DOG): LEFT | RIGHT,
        (8, 1, "object 1"): DISC,
    }
    same({key: mask.astype(np.bool_) for key, mask in found.items()}, whole)
    for one in coco.loadAnns(coco.getAnnIds()):
        mask = coco.annToMask(one)
        rows, columns = np.nonzero(mask)
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert (one["area"], one["bbox"], one["origin"]) == (mask.sum(), box, "painted")
    for image in coco.loadImgs(coco.getImgIds()):
        with Image.open(out / "images" / "train" / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"]) == SIZE_HW[::-1]


def test_frames_keep_their_numbers_in_the_video_they_were_cut_from(tmp_path: Path) -> None:
    cut = clip(tmp_path, MASKS, data={"start": 49, "source": "bus.mp4", "fps": 25.0})
    out, _ = written(project(cut), "coco", tmp_path / "out")
    images = json.loads((out / "annotations/instances_train.json").read_text())["images"]
    assert [(one["frame_index"], one["source_frame"]) for one in images] == [(0, 49), (1, 50), (2, 51)]
    told = json.loads((out / "maskloop.json").read_text())["clips"][BUS]
    assert (told["source"], told["start"], told["fps"]) == ("bus.mp4", 49, 25.0)


def test_youtube_vos_gives_categories_back(tmp_path: Path) -> None:
    told = {"categories": {"1": "giant panda"}}
    out, _ = written(project(clip(tmp_path, MASKS, data=told)), "youtube-vos", tmp_path / "out")
    objects = json.loads((out / "meta.json").read_text())["videos"][BUS]["objects"]
    assert [objects[number]["category"] for number in "123"] == ["giant panda", HIDDEN, DOG]


def test_ids_of_coco_stay_when_other_tasks_come(work: ProjectWork, tmp_path: Path) -> None:
    def told(one: ProjectWork, name: str) -> dict[int, Any]:
        out, _ = written(one, "coco", tmp_path / name)
        annotations = json.loads((out / "annotations/instances_train.json").read_text())["annotations"]
        return {item["id"]: item for item in annotations}

    before = told(project(work.clips[1]), "before")
    after = told(work, "after")
    assert before.items() <= after.items() and len(after) > len(before)


def test_coco_panoptic_as_datumaro_reads_it(work: ProjectWork, tmp_path: Path) -> None:
    out, _ = written(work, "coco-panoptic", tmp_path / "out")
    wanted = {(f"{BUS}/0000{frame}", label): mask for (frame, label), mask in SEEN.items()}
    same(datumaro_masks(out, "coco_panoptic"), {**wanted, (f"{BEAR}/a2", "object 1"): DISC})
    told = json.loads((out / "annotations/panoptic_train.json").read_text())
    assert [one["id"] for one in told["annotations"][1]["segments_info"]] == [1, 3]
    assert {one["isthing"] for one in told["categories"]} == {1}


def test_coco_as_datumaro_reads_it(work: ProjectWork, tmp_path: Path) -> None:
    out, _ = written(work, "coco", tmp_path / "out")
    found = datumaro_masks(out, "coco")
    assert np.array_equal(found[f"{BUS}/00001", HIDDEN], LEFT)
    assert np.array_equal(found[f"{BUS}/00000", "object 1"], RING)


def test_voc_as_datumaro_reads_it(work: ProjectWork, tmp_path: Path) -> None:
    out, lost = written(work, "voc", tmp_path / "out")
    plain = {**{label: label for label in LABELS}, DOG: "dog_ red _2"}
    wanted = {(f"{BUS}_0000{frame}", plain[label]): mask for (frame, label), mask in SEEN.items()}
    same(datumaro_masks(out, "voc_segmentation"), {**wanted, (f"{BEAR}_a2", "object 1"): DISC})
    assert "labelmap.txt" in lost and repr(DOG) in lost


def test_cityscapes_as_datumaro_and_our_own_reader_read_it(tmp_path: Path) -> None:
    labels = ("road", "Car", "traffic light")
    masks: list[Painted] = [("road", 0, LEFT), ("Car", 0, RIGHT), ("traffic light", 2, RING)]
    xml = _semantic_xml(labels)
    work = project(clip(tmp_path, masks, xml=xml), kind="video_semantic", labels=labels)
    out, lost = written(work, "cityscapes", tmp_path / "out")
    names = [f"{BUS}/{BUS}_000007_00000{index}" for index in (0, 2)]
    wanted = {
        (names[0], "road"): LEFT,
        (names[0], "car"): RIGHT,
        (names[1], "trafficlight"): RING,
    }
    same(datumaro_masks(out, "cityscapes"), wanted)
    assert "label_colors" not in lost and "no mask: 1 frame" in lost
    assert len(scenes.open_split(out, "train").footage) == 2
    frame = out / "leftImg8bit" / "train" / f"{names[0]}_leftImg8bit.png"
    assert np.array_equal(np.asarray(Image.open(frame)), np.asarray(Image.open(work.clips[0].frames[0])))


def test_cityscapes_with_labels_of_ones_own(work: ProjectWork, tmp_path: Path) -> None:
    out, lost = written(work, "cityscapes", tmp_path / "out")
    assert "label_colors.txt" in lost and "for spaces" in lost
    assert (out / "label_colors.txt").read_text().splitlines()[2] == f"0 128 0 {HIDDEN}"
    home = out / "gtFine" / "train" / BUS
    instances = np.asarray(Image.open(home / f"{BUS}_000007_000001_gtFine_instanceIds.png"))
    labels = np.asarray(Image.open(home / f"{BUS}_000007_000001_gtFine_labelIds.png"))
    assert set(np.unique(instances)) == {0, 1000, 3000} and set(np.unique(labels)) == {0, 1, 3}
    assert np.array_equal(instances == 3000, LEFT)


def test_our_table_of_cityscapes_agrees_with_the_reader_of_it() -> None:
    assert {name: cityscapes.OFFICIAL.index(name) for name in scenes.TRAIN_IDS} == scenes.TRAIN_IDS


def test_yolo_polygons_are_valid_and_draw_the_masks(work: ProjectWork, tmp_path: Path) -> None:
    out, lost = written(work, "yolo-seg", tmp_path / "out")
    told = yaml.safe_load((out / "data.yaml").read_text())
    assert told["names"] == dict(enumerate(LABELS))
    assert (out / told["train"] / f"{BUS}_00000.jpg").is_file()
    found: dict[tuple[str, str], Mask] = {}
    for path in (out / "labels" / "train").iterdir():
        for line in path.read_text().splitlines():
            number, *shares = line.split()
            points = np.array(shares, np.float64).reshape(-1, 2) * SIZE_HW[::-1]
            polygon = Polygon(points)
            assert polygon.is_valid and len(points) >= 4
            found[path.stem, told["names"][int(number)]] = drawn(polygon, DISC)
    assert np.array_equal(found[f"{BUS}_00000", "object 1"], RING), "the hole is kept"
    assert np.array_equal(found[f"{BUS}_00001", HIDDEN], LEFT)
    assert np.array_equal(found[f"{BUS}_00001", DOG], LEFT), "a line for each label"
    joined = found[f"{BUS}_00001", "object 1"]
    assert not (PARTS & ~joined).any() and (joined & ~PARTS).sum() < 33
    assert "with holes" in lost and "of several parts" in lost
    assert (out / "labels" / "train" / f"{BEAR}_a1.txt").read_text() == "", "a picture without objects"


def test_photos_keep_each_region_and_say_what_nobody_labelled(tmp_path: Path) -> None:
    two = photo(tmp_path, [("object 1", 0, LEFT), ("object 1", 0, RIGHT)], ["object 1"], number=1)
    part = photo(tmp_path, [("object 1", 0, RING)], ["object 1", HIDDEN], number=2)
    only_tags = photo(tmp_path, [], [DOG], number=3)
    work = project(two, part, only_tags, kind="weak_shot")
    out, lost = written(work, "voc", tmp_path / "voc")
    assert "tags and no mask: 1 task (task-000003" in lost
    [first, second] = sorted((out / "SegmentationObject").iterdir())
    objects = np.asarray(Image.open(first))
    same({number: objects == number for number in (1, 2)}, {1: LEFT, 2: RIGHT})
    classes = np.asarray(Image.open(out / "SegmentationClass" / second.name))
    assert np.array_equal(classes == 255, ~RING), "something is ticked that nobody painted"
    out, _ = written(work, "coco", tmp_path / "coco")
    coco = COCO(str(out / "annotations" / "instances_train.json"))
    [image, other] = coco.loadImgs(sorted(coco.getImgIds()))
    assert len(coco.getAnnIds(image["id"])) == 2 and other["tags"] == ["object 1", HIDDEN]


def test_whole_scenes_leave_out_frames_that_nobody_labelled(tmp_path: Path) -> None:
    xml = _semantic_xml(LABELS)
    work = project(clip(tmp_path, [("object 1", 1, LEFT)], xml=xml), kind="video_semantic")
    out, lost = written(work, "voc", tmp_path / "voc")
    assert [path.stem for path in (out / "JPEGImages").iterdir()] == [f"{BUS}_00001"]
    ids = np.asarray(Image.open(out / "SegmentationClass" / f"{BUS}_00001.png"))
    assert np.array_equal(ids, np.where(LEFT, 1, 255)) and "no mask: 2 frames" in lost
    out, _ = written(work, "youtube-vos", tmp_path / "vos")
    assert len(list((out / "Annotations" / BUS).iterdir())) == 1
    assert len(list((out / "JPEGImages" / BUS).iterdir())) == 3


def test_labelstudio_keeps_annotations_as_they_are(work: ProjectWork, tmp_path: Path) -> None:
    out, _ = written(work, "labelstudio", tmp_path / "out")
    tasks = json.loads((out / "tasks.json").read_text())
    assert [task["data"] for task in tasks] == [dict(one.data) for one in work.clips]
    assert tasks[0]["annotations"][0]["result"] == work.clips[0].work.raw[0]["result"]
    assert (out / "label_config.xml").read_text() == work.label_config
    for index, frame in enumerate(work.clips[0].frames):
        kept = out / "media" / "clips" / BUS / f"0000{index}.jpg"
        assert kept.read_bytes() == frame.read_bytes()


def test_frames_that_are_no_local_files_are_referred_to_below_media(tmp_path: Path) -> None:
    references = ["http://example.org/0.jpg", "/data/upload/3/1.jpg", "/data/local-files/?d=../../etc/2.jpg"]
    work = project(clip(tmp_path, MASKS, data={"frames": references}))
    out, lost = written(work, "labelstudio", tmp_path / "out")
    [task] = json.loads((out / "tasks.json").read_text())
    assert task["data"]["frames"] == [
        f"/data/local-files/?d=maskloop/{BUS}/0000{index}.jpg" for index in range(3)
    ]
    assert len(list((out / "media" / "maskloop" / BUS).iterdir())) == 3 and "3 frames" in lost
    assert sorted(path.name for path in out.iterdir()) == [
        *("label_config.xml", "maskloop.json", "media", "tasks.json")
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_what_it_cannot_hold_in_the_guide(
    name: str, work: ProjectWork, tmp_path: Path
) -> None:
    _, lost = written(work, name, tmp_path / "out")
    assert lost.startswith(f"{name} holds ")
    guide = Path(__file__).resolve().parents[3] / "docs" / "guides" / "export.md"
    assert f"\n| `{name}` |" in guide.read_text()


@pytest.mark.parametrize("name", ["davis", "youtube-vos", "voc", "cityscapes"])
def test_more_labels_than_an_index_map_holds_are_refused(name: str, tmp_path: Path) -> None:
    labels = tuple(f"thing {number}" for number in range(255))
    work = project(clip(tmp_path, [("object 1", 0, DISC)]), labels=("object 1", *labels[1:]))
    with pytest.raises(BadInput, match=f"255 labels; {name} holds at most 254"):
        export(work, name, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export(work, "coco", tmp_path / "out")


def test_a_frame_that_its_tag_turns_is_written_upright(tmp_path: Path) -> None:
    one = clip(tmp_path, [("object 1", 0, DISC)])
    sideways = Image.open(one.frames[1]).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer turns it back
    sideways.save(one.frames[1], exif=exif, quality=95)
    out, lost = written(project(one), "davis", tmp_path / "out")
    with Image.open(out / "JPEGImages" / "480p" / BUS / "00001.jpg") as picture:
        assert picture.size == SIZE_HW[::-1] and not picture.getexif()
    assert "written upright and encoded again, for their EXIF tag turns them: 1 frame" in lost


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (["00005", "00010", "00015"], ("00005", "00010", "00015")),
        (["a", "a", "b"], ("00000", "00001", "00002")),  # twice
        (["../x", "y", "z"], ("00000", "00001", "00002")),
        (["a", "A", "b"], ("00000", "00001", "00002")),  # one file on some disks
        ("abc", ("00000", "00001", "00002")),
    ],
)
def test_frames_keep_the_names_of_their_source(told: Any, wanted: tuple[str, ...], tmp_path: Path) -> None:
    assert frame_names(clip(tmp_path, MASKS, data={"names": told})) == wanted


def test_a_frame_that_vanishes_meanwhile_is_named(work: ProjectWork, tmp_path: Path) -> None:
    work.clips[1].frames[0].unlink()
    with pytest.raises(BadInput, match=f"{BEAR}/a1: .*vanished"):
        export(work, "coco", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    shutil.rmtree(tmp_path / BEAR)
    pictures(tmp_path / BEAR, ("a1.png", "a2.png"))
    export(work, "coco", tmp_path / "out")


def _semantic_xml(labels: tuple[str, ...]) -> str:
    items = "".join(f'<Label value="{label}"/>' for label in labels)
    return (
        f'<View><Image name="img" valueList="$frames"/><BrushLabels name="mask" toName="img">{items}'
        '</BrushLabels><KeyPointLabels name="point" toName="img"><Label value="Label clip"/></KeyPointLabels>'
        "</View>"
    )
