"""Snapshots of clips: what is written, what our own loaders read of it, what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backends.core.errors import BadInput
from backends.core.images import read_index_mask
from backends.video_object import run_folder, sequences
from backends.video_semantic.loaders import snapshot as scene_loader
from pipelines.export.annotations import SavedMask
from pipelines.export.snapshot import Snapshot, open_snapshot
from pipelines.export.take import write_snapshot
from pipelines.export.tasks import TooLittle
from pipelines.media.davis import open_sequence, sequence_names
from pipelines.train import train
from tests.clip_house import CLASSES, MemoryStudio, clip_xml, on, scene_xml
from tests.project_house import SIZE_HW, annotation, block

A, B = block(2, 12, 2, 12), block(8, 20, 8, 20)
ROAD, SKY = block(12, 24, 0, 32), block(0, 12, 0, 32)
VERSION = "video_semantic-1a2b3c4d"


@pytest.fixture
def studio(tmp_path: Path) -> MemoryStudio:
    return MemoryStudio(tmp_path / "media")


@pytest.fixture
def scenes(tmp_path: Path) -> MemoryStudio:
    return MemoryStudio(tmp_path / "media", scene_xml())


def taken(studio: MemoryStudio, home: Path) -> Snapshot:
    return write_snapshot(studio.read(), home / "snapshots", home / "held_out.json")


def saved(*results: Any, number: int = 1, **fields: Any) -> dict[str, Any]:
    return annotation(number, results, **fields)


def maps(snapshot: Snapshot, clip: str, folder: str = "Annotations") -> dict[str, Any]:
    """Frame -> label map."""
    return {path.stem: read_index_mask(path) for path in sorted((snapshot.folder / folder / clip).iterdir())}


def test_objects_keep_their_numbers_and_frames_without_a_mask_are_empty(
    studio: MemoryStudio, tmp_path: Path
) -> None:
    studio.add("bus-000", saved(on(0, "object 2", A), on(2, "object 1", A & ~B, "one"), on(2, "object 1", B)))
    studio.add("cat-000", saved(on(0, "object 1", A)))
    snapshot = taken(studio, tmp_path)
    drawn = maps(snapshot, "bus-000")
    assert list(drawn) == ["00000", "00001", "00002"]
    assert np.array_equal(drawn["00000"], np.where(A, 2, 0)) and not drawn["00001"].any()
    assert np.array_equal(drawn["00002"], np.where(A | B, 1, 0))
    objects = json.loads((snapshot.folder / "objects.json").read_text())
    assert objects == {"bus-000": {"1": "object 1", "2": "object 2"}, "cat-000": {"1": "object 1"}}
    assert (snapshot.folder / "JPEGImages/bus-000/00001.jpg").read_bytes() == (
        studio.media / "bus-000" / "00001.jpg"
    ).read_bytes()
    raw = json.loads((snapshot.folder / "annotations/bus-000.json").read_text())
    assert [len(a["result"]) for a in raw] == [3]


def test_readers_of_davis_read_it(studio: MemoryStudio, tmp_path: Path) -> None:
    studio.add("bus-000", saved(on(0, "object 2", A), on(1, "object 1", B)))
    folder = taken(studio, tmp_path).folder
    assert sequence_names(folder) == ["bus-000"]
    sequence = open_sequence(folder, "bus-000")
    assert sequence.objects == (2,) and np.array_equal(sequence.truth(0)[2], A)
    assert len(sequences.frame_paths(folder, "bus-000")) == 3
    [loaded] = sequences.load(folder, ["bus-000"], height=SIZE_HW[0])
    assert np.array_equal(loaded.labels[1], np.where(B, 1, 0))


def test_overlaps_are_told_and_the_later_label_is_seen(studio: MemoryStudio, tmp_path: Path) -> None:
    frames = [
        on(index, label, mask) for index in (0, 2) for label, mask in (("object 2", B), ("object 1", A))
    ]
    studio.add("bus-000", saved(*frames))
    snapshot = taken(studio, tmp_path)
    assert np.array_equal(maps(snapshot, "bus-000")["00000"], np.where(B, 2, np.where(A, 1, 0)))
    assert (
        "clip bus-000: 'object 1' and 'object 2' overlap on 2 frames (first 0); 'object 2' is seen there"
        in (snapshot.manifest["notes"])
    )


def test_a_frame_with_a_mask_that_cannot_be_read_is_left_out_whole(
    studio: MemoryStudio, tmp_path: Path
) -> None:
    broken = on(1, "object 2", B) | {"original_width": 5}
    studio.add("bus-000", saved(on(0, "object 1", A), on(1, "object 1", A), broken, on(2, "object 1", A)))
    snapshot = taken(studio, tmp_path)
    assert list(maps(snapshot, "bus-000")) == ["00000", "00002"]
    assert sorted(p.stem for p in (snapshot.folder / "JPEGImages/bus-000").iterdir()) == ["00000", "00002"]
    assert snapshot.manifest["clips"]["bus-000"]["labelled_frames"] == [0, 2]
    assert open_sequence(snapshot.folder, "bus-000").clip.names == ("00000", "00002")


def test_the_manifest_tells_who_and_whose(studio: MemoryStudio, tmp_path: Path) -> None:
    proposal = on(1, "object 1", A, "o1_f1")
    studio.add(
        "bus-000",
        saved(on(0, "object 1", A), number=1, completed_by={"email": "bo@example.com"}),
        saved(on(0, "object 1", B), on(1, "object 1", B, "o1_f1"), number=2, lead_time=31.25),
        saved(number=3, was_cancelled=True),
        predictions=[{"id": 1, "model_version": "video_object-1a2b3c4d", "result": [proposal]}],
        source="bus.mp4",
        fps=12.5,
        start=0,
    )
    studio.add("cat-000", saved(on(0, "object 1", A)))
    manifest = taken(studio, tmp_path).manifest
    told = manifest["clips"]["bus-000"]
    assert (told["video"], told["task"], told["cancelled"]) == ("bus", 1, 1)
    first, second = told["annotations"]
    assert (first["by"], first["masks_count"], second["masks_count"]) == ("bo@example.com", False, True)
    assert (second["lead_time_s"], second["saved_at"]) == (31.25, "2026-01-02T00:00:02Z")
    painted, corrected = second["masks"]
    assert (painted["origin"], painted["proposed_iou"], painted["frame"]) == ("painted", None, 0)
    assert (corrected["origin"], corrected["proposed_by"]) == ("corrected", "video_object-1a2b3c4d")
    assert corrected["proposed_iou"] == round(float((A & B).sum() / (A | B).sum()), 4)
    assert told["agreement"]["object 1"]["00001"] == 0.0
    assert told["data"] == {"clip": "bus-000", "source": "bus.mp4", "fps": 12.5, "start": 0}
    assert told["frames"] == ["00000", "00001", "00002"]
    assert manifest["kind"] == "video_object" and manifest["labels"] == ["object 1", "object 2"]
    assert set(manifest["videos"]) == {"bus", "cat"}
    assert sorted(manifest["videos"].values()) == ["held_out", "train"]
    assert manifest["held_out"] == [
        name for name, about in manifest["clips"].items() if about["split"] == "held_out"
    ]
    assert "ground truth" in manifest["policy"]["masks"]


def test_clips_of_one_video_go_the_same_way_and_stay_there(studio: MemoryStudio, tmp_path: Path) -> None:
    for video in ("bus", "cat", "dog"):
        for number in range(2):
            studio.add(f"{video}-{number:03d}", saved(on(0, "object 1", A)))
    first = taken(studio, tmp_path).manifest
    [held_out] = [video for video, split in first["videos"].items() if split == "held_out"]
    assert first["held_out"] == [f"{held_out}-000", f"{held_out}-001"]
    for number in range(9):
        studio.add(f"new{number}-000", saved(on(0, "object 1", A)))
    second = taken(studio, tmp_path).manifest
    assert {video: second["videos"][video] for video in first["videos"]} == first["videos"]
    assert sum(split == "held_out" for split in second["videos"].values()) == 3


def test_the_same_work_gives_the_same_snapshot_and_an_edited_one_is_refused(
    studio: MemoryStudio, tmp_path: Path
) -> None:
    studio.add("bus-000", saved(on(0, "object 1", A)))
    studio.add("cat-000", saved(on(0, "object 1", A)))
    first = taken(studio, tmp_path)
    assert taken(studio, tmp_path) == first == open_snapshot(first.folder)
    mask = first.folder / "Annotations/bus-000/00000.png"
    mask.chmod(0o644)
    mask.write_bytes(mask.read_bytes() + b"x")
    with pytest.raises(BadInput, match=r"00000\.png was changed"):
        open_snapshot(first.folder)
    with pytest.raises(BadInput, match=r"00000\.png was changed"):
        taken(studio, tmp_path)
    studio.deleted.add(2)
    later = taken(studio, tmp_path)
    assert set(later.manifest["clips"]) == {"bus-000"} and later.digest != first.digest
    assert "task 2: was deleted while the project was read" in later.manifest["notes"]


def test_nothing_is_trained_on_held_out_clips_or_an_edited_snapshot(
    studio: MemoryStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bus-000", "bus-001", "cat-000"):
        studio.add(name, saved(on(0, "object 1", A)))
    snapshot = taken(studio, tmp_path)
    asked: list[set[str]] = []

    def only_names(config: Any, data: Path, out: Path, **how: Any) -> Path:
        asked.append(set(run_folder.training_names(data, config.validation)))
        return out

    monkeypatch.setattr(run_folder, "train", only_names)
    train("video_object", data=snapshot.folder, out=tmp_path / "run")
    assert asked == [{"bus-000", "bus-001", "cat-000"} - set(snapshot.manifest["held_out"])]
    (snapshot.folder / "objects.json").unlink()
    with pytest.raises(BadInput, match=r"objects\.json is missing"):
        train("video_object", data=snapshot.folder, out=tmp_path / "run")


def test_a_clip_with_a_picture_that_is_cut_off_is_left_out(studio: MemoryStudio, tmp_path: Path) -> None:
    for name in ("bus-000", "cat-000"):
        studio.add(name, saved(on(0, "object 1", A)))
    path = studio.media / "bus-000" / "00002.jpg"
    path.write_bytes(path.read_bytes()[:-300])
    snapshot = taken(studio, tmp_path)
    assert set(snapshot.manifest["clips"]) == {"cat-000"}
    [note] = [note for note in snapshot.manifest["notes"] if "00002.jpg" in note]
    assert note.startswith("task 1: frame 2 of 3: 00002.jpg: the image cannot be decoded")
    assert "none of 1 clips is held out" in snapshot.manifest["notes"][-1]


def test_pictures_that_no_loader_knows_become_png(studio: MemoryStudio, tmp_path: Path) -> None:
    studio.add("bus-000", saved(on(0, "object 1", A)))
    folder = studio.media / "bus-000"
    for path in list(folder.iterdir()):
        Image.open(path).save(path.with_suffix(".bmp"))
    references = studio.held[1]["data"]["frames"]
    studio.held[1]["data"]["frames"] = [name.replace(".jpg", ".bmp") for name in references]
    snapshot = taken(studio, tmp_path)
    assert len(sequences.frame_paths(snapshot.folder, "bus-000")) == 3
    stored = np.asarray(Image.open(snapshot.folder / "JPEGImages/bus-000/00001.png"))
    assert np.array_equal(stored, np.asarray(Image.open(folder / "00001.bmp")))


def proposed(*frames: int) -> list[dict[str, Any]]:
    """What a model made of these frames: sky over road."""
    return [
        on(frame, name, mask, f"{name}_f{frame:04d}")
        for frame in frames
        for name, mask in (("road", ROAD), ("sky", SKY))
    ]


def prediction(*frames: int) -> dict[str, Any]:
    return {"id": 5, "model_version": VERSION, "result": proposed(*frames)}


def test_whole_scenes_are_labelled_where_a_person_changed_something(
    scenes: MemoryStudio, tmp_path: Path
) -> None:
    first, second, third = proposed(0), proposed(1), proposed(2)
    changed = on(1, "sky", SKY & ~A, "sky_f0001", origin="prediction-changed")
    car = on(1, "car", A)
    scenes.add(
        "street-000", saved(*first, second[0], changed, car, *third), predictions=[prediction(0, 1, 2)]
    )
    snapshot = taken(scenes, tmp_path)
    expected = np.full(SIZE_HW, 255, np.uint8)
    expected[ROAD], expected[SKY & ~A], expected[A] = 0, 2, 1
    drawn = maps(snapshot, "street-000", "masks")
    assert list(drawn) == ["00001"] and np.array_equal(drawn["00001"], expected)
    told = snapshot.manifest["clips"]["street-000"]
    assert told["labelled_frames"] == [1]
    origins = {(m["frame"], m["class"]): m["origin"] for m in told["annotations"][0]["masks"]}
    assert origins[0, "road"] == origins[2, "sky"] == origins[1, "road"] == "accepted"
    assert (origins[1, "sky"], origins[1, "car"]) == ("corrected", "painted")
    read = scene_loader.open_split(snapshot.folder, "train")
    assert read.classes == CLASSES and read.labelled() == [(0, 1)]
    assert len(read.footage[0].frames) == 3
    assert np.array_equal(read.labels(0, 1), expected)


def test_a_persons_mask_lies_over_a_models_and_the_rest_is_not_labelled(
    scenes: MemoryStudio, tmp_path: Path
) -> None:
    results = [on(0, "car", A), *proposed(0)[1:], on(0, "road", A & B)]
    scenes.add("street-000", saved(*results), predictions=[prediction(0)])
    drawn = maps(taken(scenes, tmp_path), "street-000", "masks")["00000"]
    expected = np.full(SIZE_HW, 255, np.uint8)
    expected[SKY], expected[A], expected[A & B] = 2, 1, 0
    assert np.array_equal(drawn, expected)


def test_deleting_a_proposal_is_a_correction(scenes: MemoryStudio, tmp_path: Path) -> None:
    kept = [item for item in proposed(0, 1) if item["id"] != "sky_f0001"]
    scenes.add("street-000", saved(*kept, parent_prediction=5), predictions=[prediction(0, 1)])
    snapshot = taken(scenes, tmp_path)
    [drawn] = maps(snapshot, "street-000", "masks").values()
    assert np.array_equal(drawn, np.where(ROAD, 0, 255))
    told = snapshot.manifest["clips"]["street-000"]
    assert told["labelled_frames"] == [1]
    assert told["annotations"][0]["removed"] == [{"class": "sky", "frame": 1}]


def test_a_frame_of_a_scene_with_a_broken_mask_gets_no_label_map(
    scenes: MemoryStudio, tmp_path: Path
) -> None:
    broken = on(1, "sky", SKY) | {"original_height": 3}
    scenes.add("street-000", saved(on(0, "car", A), on(1, "car", A), broken))
    snapshot = taken(scenes, tmp_path)
    assert list(maps(snapshot, "street-000", "masks")) == ["00000"]
    assert len(list((snapshot.folder / "frames/street-000").iterdir())) == 3


def test_clips_that_were_accepted_as_they_were_are_told_of_and_teach_nothing(
    scenes: MemoryStudio, tmp_path: Path
) -> None:
    scenes.add("street-000", saved(*proposed(0)), predictions=[prediction(0)])
    with pytest.raises(TooLittle, match="of 1 clips that were submitted 1 have no frame with masks"):
        taken(scenes, tmp_path)
    assert not (tmp_path / "held_out.json").exists() and not list((tmp_path / "snapshots").iterdir())
    scenes.add("alley-000", saved(on(0, "car", A)))
    snapshot = taken(scenes, tmp_path)
    told = snapshot.manifest["clips"]["street-000"]
    assert told["labelled_frames"] == [] and told["annotations"][0]["masks"][0]["origin"] == "accepted"
    assert not (snapshot.folder / "frames/street-000").exists()
    assert (snapshot.folder / "annotations/street-000.json").is_file()
    assert json.loads((tmp_path / "held_out.json").read_text()) == {"held_out": [], "train": ["alley"]}


def test_held_out_scenes_are_the_loaders_validation(scenes: MemoryStudio, tmp_path: Path) -> None:
    for name in ("street-000", "street-001", "alley-000"):
        scenes.add(name, saved(on(0, "car", A)))
    snapshot = taken(scenes, tmp_path)
    named = {
        split: [part.name for part in scene_loader.open_split(snapshot.folder, split).footage]
        for split in ("train", "val")
    }
    assert named["val"] == snapshot.manifest["held_out"] and len(named["train"] + named["val"]) == 3
    assert {name.split("-")[0] for name in named["val"]}.isdisjoint(n.split("-")[0] for n in named["train"])


def test_one_class_is_too_little_for_whole_scenes(scenes: MemoryStudio, tmp_path: Path) -> None:
    scenes.xml = scene_xml(("road",))
    scenes.add("street-000", saved(on(0, "road", A)))
    with pytest.raises(TooLittle, match="1 classes; whole scenes want 2"):
        taken(scenes, tmp_path)


def test_more_labels_than_a_byte_holds_are_refused(studio: MemoryStudio, tmp_path: Path) -> None:
    studio.xml = clip_xml([f"object {n}" for n in range(255)])
    studio.add("bus-000", saved(on(0, "object 7", A)))
    with pytest.raises(BadInput, match="255 labels; an index map holds 254"):
        taken(studio, tmp_path)


def test_masks_stay_small_in_memory(studio: MemoryStudio) -> None:
    studio.add("bus-000", saved(on(0, "object 1", A)))
    opinion = studio.clip().work.mask_opinion
    assert opinion is not None and isinstance(opinion.masks[0], SavedMask)
    assert len(opinion.masks[0].packed) < 60
