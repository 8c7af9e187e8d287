"""Projects of clips in a running Label Studio become snapshots: two annotators, and all that goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.core.errors import BadInput
from backends.core.images import read_index_mask
from backends.core.masks import digest, iou
from backends.core.types import FrameMasks, Mask, MaskPrompt
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.regions import region_id
from backends.ledger import Ledger, WantedJob
from backends.settings import Settings
from backends.video_semantic.loaders import snapshot as scene_loader
from pipelines.export.snapshot import Snapshot, open_snapshot
from pipelines.export.take import take_snapshot
from pipelines.export.tasks import TooLittle
from pipelines.media.davis import open_sequence
from tests.clip_house import clip_xml, on, scene_xml, write_frames
from tests.label_studio import LabelStudioServer
from tests.project_house import block, config_xml

pytestmark = pytest.mark.labelstudio

SIZE_HW = (48, 64)
N_FRAMES = 4
VERSION = "video_object-1a2b3c4d"


def at(column: int) -> Mask:
    return block(10, 30, column, column + 20, size_hw=SIZE_HW)


@dataclass
class Clips:
    """One project of clips; annotations come through the API as the editor would save them."""

    server: LabelStudioServer
    client: LabelStudioClient
    id: int
    settings: Settings

    def add(self, clip: str, *annotations: dict[str, Any], predictions: Any = ()) -> int:
        folder = f"clips/p{self.id}-{clip}"
        paths = write_frames(self.server.media_root / folder, N_FRAMES, SIZE_HW)
        frames = [f"/data/local-files/?d={folder}/{path.name}" for path in paths]
        [task] = self.client.import_tasks(self.id, [{"data": {"frames": frames, "clip": clip, "fps": 12.5}}])
        for result in predictions:
            self.client.create_prediction(task, result, VERSION)
        for annotation in annotations:
            self.annotate(task, **annotation)
        return task

    def annotate(self, task: int, *results: dict[str, Any], **fields: Any) -> int:
        body = {"result": list(results), "lead_time": 3.5, **fields}
        return int(self.client.connection.post(f"/api/tasks/{task}/annotations/", body)["id"])

    def take(self, say: Callable[[str], None] = lambda line: None) -> Snapshot:
        return take_snapshot(self.id, self.settings, say=say)


def new_project(server: LabelStudioServer, folder: Path, xml: str) -> Clips:
    client = LabelStudioClient(server.url, server.token)
    number = int(client.create_project("clips that people labelled", xml)["id"])
    (server.media_root / "clips").mkdir(exist_ok=True)
    client.put_local_storage(number, str(server.media_root / "clips"))
    settings = Settings(
        data_dir=folder,
        models_dir=folder / "models",
        media_root=server.media_root,
        label_studio_url=server.url,
        label_studio_token=server.token,
    )
    return Clips(server, client, number, settings)


@pytest.fixture(scope="module")
def second_annotator(label_studio: LabelStudioServer) -> int:
    client = LabelStudioClient(label_studio.url, label_studio.token)
    account = {"email": "bo@example.com", "username": "bo", "password": "canary-password-2"}
    return int(client.connection.post("/api/users/", account)["id"])


def propagated(ledger: Ledger, task: int) -> dict[int, Mask]:
    """What Propagate handed over in the editor: a job in the ledger, its masks remembered, no prediction."""
    masks = {index: at(4 * index) for index in range(N_FRAMES)}
    anchor = MaskPrompt("object 1", 0, masks[0])
    job = WantedJob("job-1", "propagate", 1, task, VERSION, N_FRAMES, SIZE_HW, anchors=(anchor,))
    row = ledger.want_job(job)
    ledger.start(row.id, row.generation, "w")
    for index, mask in masks.items():
        fixed = frozenset({"object 1"} if index == 0 else ())
        ledger.put_frame(row.id, row.generation, FrameMasks(index, {"object 1": mask}, {}, fixed))
    ledger.finish(row.id, row.generation, 0.1)
    shown = {region_id("object 1", i): digest(mask) for i, mask in masks.items() if i}
    ledger.remember_machine_masks(task, shown)
    return masks


def test_objects_from_two_people_a_machine_and_a_deleted_task(
    label_studio: LabelStudioServer, second_annotator: int, tmp_path: Path
) -> None:
    project = new_project(label_studio, tmp_path, clip_xml())
    bus = project.add("bus-36d8450bbb-000")
    ledger = Ledger(project.settings.ledger_path)
    masks = propagated(ledger, bus)
    ledger.close()
    corrected = at(9)
    project.annotate(bus, on(0, "object 1", at(20), "disagrees"), completed_by=second_annotator, lead_time=8)
    project.annotate(
        bus,
        on(0, "object 1", masks[0], "hand"),
        on(1, "object 1", masks[1], region_id("object 1", 1)),
        on(2, "object 1", corrected, region_id("object 1", 2)),
        on(2, "object 2", at(40), "other"),
    )
    later = project.add("bus-36d8450bbb-001", {"result": [on(0, "object 2", at(0))]})
    project.add("cat-1a2b3c4d5e-000", {"result": [on(1, "object 1", at(30))]})
    skipped = project.add("dog-1a2b3c4d5e-000", {"result": [on(0, "object 1", at(3))], "was_cancelled": True})
    cut = on(0, "object 1", at(3), "cut")
    cut["value"]["rle"] = cut["value"]["rle"][:40]
    broken = project.add("fox-1a2b3c4d5e-000", {"result": [cut]})
    project.add("idle-1a2b3c4d5e-000", predictions=[[on(0, "object 1", at(3), "p")]])
    said: list[str] = []
    first = project.take(said.append)

    manifest = first.manifest
    assert set(manifest["clips"]) == {"bus-36d8450bbb-000", "bus-36d8450bbb-001", "cat-1a2b3c4d5e-000"}
    assert {told["split"] for name, told in manifest["clips"].items() if name.startswith("bus")} == {
        manifest["videos"]["bus-36d8450bbb"]
    }
    assert sorted(manifest["videos"].values()) == ["held_out", "train"]
    theirs, mine = manifest["clips"]["bus-36d8450bbb-000"]["annotations"]
    assert (theirs["by"], theirs["masks_count"], theirs["lead_time_s"]) == ("bo@example.com", False, 8.0)
    assert (mine["by"], mine["masks_count"]) == (label_studio.username, True)
    overlap = round(iou(masks[2], corrected), 4)
    assert [(m["frame"], m["origin"], m["proposed_by"], m["proposed_iou"]) for m in mine["masks"]] == [
        (0, "painted", "", None),
        (1, "accepted", VERSION, 1.0),
        (2, "corrected", VERSION, overlap),
        (2, "painted", "", None),
    ]
    assert manifest["clips"]["bus-36d8450bbb-000"]["agreement"]["object 1"]["00001"] == 0.0
    sequence = open_sequence(first.folder, "bus-36d8450bbb-000")
    assert np.array_equal(sequence.truth(0)[1], masks[0])
    drawn = read_index_mask(first.folder / "Annotations/bus-36d8450bbb-000/00002.png")
    assert np.array_equal(drawn, np.where(at(40), 2, np.where(corrected, 1, 0)))
    assert not read_index_mask(first.folder / "Annotations/bus-36d8450bbb-000/00003.png").any()

    notes = "\n".join(said)
    assert f"note: task {skipped}: skipped by the annotator" in notes
    assert f"note: task {broken}: annotation" in notes and "cut off" in notes
    assert f"note: task {bus}: several annotations with masks (IoU object 1 0.00" in notes
    assert said[-1] == f"snapshot: {first.folder}" and "held out" in said[-2]

    assert project.take().digest == first.digest, "the same work, the same name"

    def deleting(items: Any, *, total: int | None, label: str) -> Any:
        if label == "reading the project":  # the tasks are listed, none of them is read yet
            project.client.delete_task(later)
        yield from items

    second = take_snapshot(project.id, project.settings, progress=deleting, say=said.append)
    assert f"note: task {later}: was deleted while the project was read" in said
    assert second.digest != first.digest and "bus-36d8450bbb-001" not in second.manifest["clips"]
    assert second.manifest["videos"] == first.manifest["videos"]
    assert open_snapshot(first.folder) == first, "what was frozen stays whole"
    third = project.take()  # nothing is left of the task now, not even a note
    picture = third.folder / "JPEGImages/bus-36d8450bbb-000/00001.jpg"
    picture.chmod(0o644)
    picture.write_bytes(picture.read_bytes()[:-1])
    with pytest.raises(BadInput, match=r"00001\.jpg was changed. Snapshots are not edited"):
        project.take()


def test_whole_scenes_where_people_corrected(
    label_studio: LabelStudioServer, second_annotator: int, tmp_path: Path
) -> None:
    project = new_project(label_studio, tmp_path, scene_xml())
    road, sky = block(24, 48, 0, 64, size_hw=SIZE_HW), block(0, 24, 0, 64, size_hw=SIZE_HW)
    proposed = [
        on(frame, name, mask, region_id(name, frame))
        for frame in range(N_FRAMES)
        for name, mask in (("road", road), ("sky", sky))
    ]
    street = project.add("street-1a2b3c4d5e-000", predictions=[proposed])
    car = on(2, "car", at(20), "hand")
    project.annotate(street, *proposed, car, completed_by=second_annotator)
    alley = project.add("alley-1a2b3c4d5e-000", predictions=[proposed])
    project.annotate(alley, *proposed)
    with_one = project.take()
    assert with_one.manifest["clips"]["alley-1a2b3c4d5e-000"]["labelled_frames"] == []
    assert with_one.manifest["held_out"] == []
    project.add("lane-1a2b3c4d5e-000", {"result": [on(0, "car", at(4)), on(0, "road", road)]})
    snapshot = project.take()
    assert snapshot.manifest["videos"]["street-1a2b3c4d5e"] == "train", "what was trained on stays so"
    assert snapshot.manifest["held_out"] == ["lane-1a2b3c4d5e-000"]
    train = scene_loader.open_split(snapshot.folder, "train")
    assert [(part.name, sorted(part.labels)) for part in train.footage] == [("street-1a2b3c4d5e-000", [2])]
    expected = np.where(at(20), 1, np.where(road, 0, 2))
    assert np.array_equal(train.labels(0, 2), expected)
    val = scene_loader.open_split(snapshot.folder, "val")
    assert np.array_equal(val.labels(0, 0), np.where(road, 0, np.where(at(4), 1, 255)))
    [told] = snapshot.manifest["clips"]["street-1a2b3c4d5e-000"]["annotations"]
    assert told["by"] == "bo@example.com"
    assert {(m["class"], m["origin"]) for m in told["masks"]} == {
        ("road", "accepted"),
        ("sky", "accepted"),
        ("car", "painted"),
    }
    lists = json.loads((tmp_path / "loop" / f"project-{project.id}" / "held_out.json").read_text())
    assert lists == {"held_out": ["lane-1a2b3c4d5e"], "train": ["street-1a2b3c4d5e"]}


@pytest.mark.parametrize("xml", [clip_xml(), scene_xml(), config_xml()], ids=["objects", "scenes", "photos"])
def test_an_empty_project_is_refused_with_counts(
    label_studio: LabelStudioServer, tmp_path: Path, xml: str
) -> None:
    project = new_project(label_studio, tmp_path, xml)
    with pytest.raises(TooLittle, match=f"project {project.id} has no tasks"):
        project.take()
    if xml != config_xml():
        task = project.add("bus-000")
        project.client.connection.post(
            f"/api/tasks/{task}/drafts", {"result": [on(0, "object 1", at(0))], "lead_time": 1}
        )
        with pytest.raises(TooLittle, match="of 1 tasks 1 are not annotated and 0 cannot be used"):
            project.take()
    assert not (tmp_path / "snapshots").exists() and not (tmp_path / "loop").exists()
