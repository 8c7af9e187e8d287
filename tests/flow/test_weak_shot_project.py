"""A project in a running Label Studio becomes a snapshot, a run and a version."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backends.core.errors import BadInput, BadLabelConfig, Unavailable
from backends.core.types import Mask
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.media import FrameLocator
from backends.registry import Registry
from backends.settings import Settings, to_env
from backends.weak_shot.loaders import open_photos
from pipelines import cli
from pipelines.export.snapshot import Snapshot, open_snapshot
from pipelines.export.tasks import TooLittle, unsubmitted
from pipelines.train import train
from pipelines.weak_shot_project.classes import Enough, decide
from pipelines.weak_shot_project.reading import ProjectReading, read_project
from pipelines.weak_shot_project.run import Outcome, Wishes, train_project
from pipelines.weak_shot_project.snapshot import write_snapshot
from tests.label_studio import LabelStudioServer
from tests.project_house import block, config_xml, painted, ticked

pytestmark = pytest.mark.labelstudio

SIZE_HW = (48, 64)
SKIN, HAT, DOG = (
    block(*corners, size_hw=SIZE_HW) for corners in ((4, 30, 4, 20), (20, 40, 15, 40), (5, 25, 40, 60))
)
ENOUGH = Enough(base_photos=3, masks=3, tags=4)
PEOPLE = ((230, 190, 160), (40, 90, 200), (120, 70, 30))
"""The colours of skin, hat and dog."""


@dataclass
class Project:
    """One project with pictures and annotations, through the API as the editor would save them."""

    server: LabelStudioServer
    client: LabelStudioClient
    id: int
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def task(self, masks: Sequence[tuple[int, Mask]] = (), reference: str = "", **data: Any) -> int:
        """A picture that shows these masks in their colours."""
        return self.client.import_tasks(
            self.id, [{"data": {"image": reference or self.picture(masks), **data}}]
        )[0]

    def picture(self, masks: Sequence[tuple[int, Mask]] = ()) -> str:
        pixels = self.rng.integers(60, 120, (*SIZE_HW, 3), dtype=np.uint8)
        for colour, mask in masks:
            pixels[mask] = PEOPLE[colour] + self.rng.integers(-8, 8, (int(mask.sum()), 3))
        folder = self.server.media_root / "photos" / f"p{self.id}"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{len(list(folder.iterdir())):05d}.png"
        Image.fromarray(pixels).save(folder / name)
        return f"/data/local-files/?d=photos/p{self.id}/{name}"

    def annotate(self, task: int, *result: dict[str, Any], **fields: Any) -> int:
        body = {"result": list(result), "lead_time": 3.0, **fields}
        return int(self.client.connection.post(f"/api/tasks/{task}/annotations/", body)["id"])

    def locator(self, cache: Path) -> FrameLocator:
        return FrameLocator(self.server.media_root, self.server.url, self.server.token, cache, timeout_s=3)


def new_project(server: LabelStudioServer, xml: str) -> Project:
    client = LabelStudioClient(server.url, server.token)
    project = Project(server, client, int(client.create_project("tagged photos", xml)["id"]))
    (server.media_root / "photos").mkdir(exist_ok=True)
    client.put_local_storage(project.id, str(server.media_root / "photos"))
    return project


@pytest.fixture
def project(label_studio: LabelStudioServer) -> Project:
    return new_project(label_studio, config_xml())


@dataclass(frozen=True)
class Full:
    """A project with everything in it, what was read of it, and its tasks by what they are."""

    project: Project
    tasks: dict[str, int]
    reading: ProjectReading
    snapshot: Snapshot


@pytest.fixture(scope="module")
def full(label_studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory) -> Full:
    project = new_project(label_studio, config_xml(tags=("skin", "hat", "dog", "blurry")))
    tasks = bad_and_good(project)
    folder = tmp_path_factory.mktemp("full")
    reading = read_project(project.client, project.id, project.locator(folder / "cache"))
    decision = decide(reading.photos, reading.class_names, ENOUGH)
    return Full(project, tasks, reading, write_snapshot(reading, decision, folder / "snapshots"))


def bad_and_good(project: Project) -> dict[str, int]:
    """Six base photos, three novel ones, and one of each kind of trouble."""
    base = [ticked("skin", "hat"), painted("skin", SKIN), painted("hat", HAT)]
    plain = {f"base {i}": (base, [(0, SKIN), (1, HAT)]) for i in range(6)}
    plain |= {f"novel {i}": ([ticked("dog")], [(2, DOG)]) for i in range(3)}
    bodies = [
        {"data": {"image": project.picture(masks)}, "annotations": [{"result": result}]}
        for result, masks in plain.values()
    ]
    tasks = dict(zip(plain, project.client.import_tasks(project.id, bodies), strict=True))
    cut = painted("hat", HAT, "cut")
    cut["value"]["rle"] = cut["value"]["rle"][:40]
    cases: dict[str, Sequence[Any]] = {
        "leak": [ticked("skin", "dog"), painted("skin", SKIN)],
        "painted": [painted("dog", DOG), painted("skin", SKIN)],
        "broken": [painted("skin", SKIN), cut],
        "other size": [painted("skin", SKIN), painted("hat", block(1, 9, 1, 9), "small")],
        "empty": [],
        "blurry": [ticked("skin", "blurry")],
    }
    for name, result in cases.items():
        tasks[name] = project.task()
        project.annotate(tasks[name], *result)
    tasks["skipped"] = project.task()
    project.annotate(tasks["skipped"], painted("skin", SKIN), was_cancelled=True)
    tasks["two people"] = project.task()
    project.annotate(tasks["two people"], ticked("dog"), painted("skin", HAT))
    project.annotate(tasks["two people"], ticked("skin"), painted("skin", SKIN))
    tasks["accepted"] = project.task()
    proposal = painted("skin", SKIN, "skin_f0000")
    project.client.create_prediction(tasks["accepted"], [proposal], "weak_shot-1a2b3c4d")
    project.annotate(tasks["accepted"], proposal)
    tasks["unreachable"] = project.task(reference="http://127.0.0.1:9/photo.jpg")
    tasks["gone"] = project.task(reference="/data/local-files/?d=photos/none.png")
    tasks["no picture"] = project.task(reference="/data/local-files/?d=photos/broken.png")
    (project.server.media_root / "photos" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    for name in ("unreachable", "gone", "no picture"):
        project.annotate(tasks[name], ticked("dog"))
    tasks["came with tags"] = project.task(tags=["dog"])
    tasks["untouched"] = project.task()
    tasks["turned"] = project.task(reference=turned(project))
    project.annotate(tasks["turned"], ticked("skin"), painted("skin", SKIN))
    return tasks


def turned(project: Project) -> str:
    """A photo that viewers turn by its EXIF: stored upright, shown as wide as the others."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new("RGB", SIZE_HW, (90, 120, 60))
    path = project.server.media_root / "photos" / f"p{project.id}" / "turned.jpg"
    picture.save(path, exif=exif)
    return f"/data/local-files/?d=photos/p{project.id}/turned.jpg"


def named(task: int) -> str:
    return f"task-{task:06d}"


def test_classes_come_from_masks_and_tags(full: Full) -> None:
    photos = open_photos(full.snapshot.folder, 0)
    assert photos.layout == "snapshot" and photos.classes.novel == {"dog"}
    assert photos.classes.names == ("skin", "hat", "dog")


def test_every_trouble_is_named_and_the_others_go_on(full: Full) -> None:
    notes = {
        name: " / ".join(n for n in full.reading.notes if n.startswith(f"task {t}:"))
        for name, t in full.tasks.items()
    }
    wanted = {
        "broken": "cut off",
        "other size": "size is 32x24; the frames are 64x48",
        "empty": "neither tag nor mask",
        "blurry": "'blurry' is no label of the brush",
        "skipped": "skipped by the annotator",
        "two people": "several annotations with masks (IoU skin",
        "unreachable": "private network",
        "gone": "none.png",
        "no picture": "broken.png",
    }
    for name, words in wanted.items():
        assert words in notes[name], f"{name}: {notes[name]!r}"
    assert {name for name, told in notes.items() if told} == set(wanted)
    used = {photo.name for photo in full.reading.photos}
    left = {"empty", "skipped", "unreachable", "gone", "no picture", "untouched"}
    assert used == {named(task) for name, task in full.tasks.items() if name not in left}
    assert full.snapshot.manifest["notes"][: len(full.reading.notes)] == list(full.reading.notes)


def test_the_loader_gives_back_what_was_painted(full: Full) -> None:
    photos = open_photos(full.snapshot.folder, 0)
    by_name = {photo.name: photo for photo in (*photos.train, *photos.held_out)}
    expected = np.zeros(SIZE_HW, np.uint8)
    expected[SKIN], expected[HAT] = 1, 2
    for i in range(6):
        photo = by_name[named(full.tasks[f"base {i}"])]
        assert np.array_equal(photos.base_truth(photo), expected)
        assert photo.image_path.read_bytes() == full.reading.photos[i].image.read_bytes()
    assert by_name[named(full.tasks["novel 0"])].tags == ("dog",)
    assert by_name[named(full.tasks["came with tags"])].tags == ("dog",)
    as_shown = photos.base_truth(by_name[named(full.tasks["turned"])])
    assert np.array_equal(as_shown == 1, SKIN) and not (as_shown == 255).any()
    assert not photos.notes


def test_no_novel_pixel_is_in_a_mask_that_trains(full: Full) -> None:
    photos = open_photos(full.snapshot.folder, 0)
    novel = photos.classes.novel_ids
    for photo in photos.train:
        if photo.mask_path is None:
            continue
        values = set(np.unique(np.asarray(Image.open(photo.mask_path))).tolist())
        assert not values & set(novel), photo.name
        if photos.is_novel(photo):
            assert 0 not in values, f"{photo.name} has background around a novel object"
    base = {photo.name for photo in photos.base_images}
    assert not base & {named(full.tasks[name]) for name in ("leak", "painted", "two people")}
    part = next(photo for photo in photos.train if photo.name == named(full.tasks["broken"]))
    assert set(np.unique(photos.base_truth(part))) == {1, 255}, "the hat that cannot be read is no background"


def test_the_manifest_says_who_and_what(full: Full) -> None:
    told = full.snapshot.manifest["clips"]
    two = told[named(full.tasks["two people"])]
    assert [a["masks_count"] for a in two["annotations"]] == [False, True] and two["agreement"]["skin"] < 1
    assert {a["by"] for a in two["annotations"]} == {full.project.server.username}
    [accepted] = told[named(full.tasks["accepted"])]["annotations"]
    assert [(m["origin"], m["proposed_by"]) for m in accepted["masks"]] == [
        ("accepted", "weak_shot-1a2b3c4d")
    ]
    [base] = told[named(full.tasks["base 0"])]["annotations"]
    assert {m["origin"] for m in base["masks"]} == {"painted"}
    raw = json.loads(
        (full.snapshot.folder / f"annotations/{named(full.tasks['two people'])}.json").read_text()
    )
    assert [len(annotation["result"]) for annotation in raw] == [2, 2], "both annotations are kept"


def test_reading_twice_gives_one_snapshot_and_a_change_another(full: Full, tmp_path: Path) -> None:
    project = full.project

    def taken() -> Snapshot:
        reading = read_project(project.client, project.id, project.locator(tmp_path / "cache"))
        return write_snapshot(reading, decide(reading.photos, reading.class_names, ENOUGH), tmp_path)

    first = taken()
    assert first.digest == full.snapshot.digest, "a snapshot's name comes from what is in it, nothing else"
    project.annotate(project.task(), ticked("dog"))
    assert taken().digest != first.digest
    assert open_snapshot(first.folder) == first, "the earlier one is still whole"


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        (config_xml().replace("Choices", "Style").replace("Choice ", "Style "), "lacks Choices"),
        (config_xml().replace("BrushLabels", "PolygonLabels"), "lacks BrushLabels"),
        (config_xml().replace('value="$image"', 'valueList="$image"'), "several pages"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(
    label_studio: LabelStudioServer, tmp_path: Path, xml: str, says: str
) -> None:
    project = new_project(label_studio, xml)
    with pytest.raises(BadLabelConfig, match=says):
        read_project(project.client, project.id, project.locator(tmp_path))


def test_empty_and_idle_projects_are_told_apart(project: Project, tmp_path: Path) -> None:
    def read() -> ProjectReading:
        return read_project(project.client, project.id, project.locator(tmp_path))

    with pytest.raises(TooLittle, match="has no tasks"):
        read()
    task = project.task()
    with pytest.raises(TooLittle, match="of 1 tasks 1 are not annotated and 0 cannot be used"):
        read()
    project.client.connection.post(f"/api/tasks/{task}/drafts", {"result": [ticked("dog")], "lead_time": 1})
    with pytest.raises(TooLittle, match="1 are not annotated"):
        read()
    assert f"1 tasks hold work that is not submitted, which does not count (task {task})" == unsubmitted(
        project.client, project.id
    )
    project.annotate(task)
    with pytest.raises(TooLittle, match=r"0 are not annotated and 1 cannot be used .*neither tag nor mask"):
        read()
    with pytest.raises(BadInput):
        read_project(project.client, 999_999, project.locator(tmp_path))


QUICK = (
    *(
        f"{stage}.{value}"
        for stage in ("classifier", "boundary_net", "affinity", "segmentation")
        for value in ("steps=2", "batch=2", "warm_up=1", "view.side_px=64")
    ),
    *("long_side_px=64", "walk.steps=4", "responses.scales=[1.0]", "responses.flip=false"),
)
"""Two steps a network on tiny pictures: the way from project to version, not the masks."""


def settings_of(server: LabelStudioServer, folder: Path) -> Settings:
    return Settings(
        data_dir=folder,
        models_dir=folder / "models",
        media_root=server.media_root,
        label_studio_url=server.url,
        label_studio_token=server.token,
    )


def test_a_project_becomes_a_version(full: Full, tmp_path: Path) -> None:
    settings = settings_of(full.project.server, tmp_path)
    wishes = Wishes(overrides=QUICK, enough=ENOUGH)
    said: list[str] = []

    def run(trainer: Callable[..., Path] = train) -> Outcome:
        said.clear()
        return train_project(full.project.id, settings, wishes, say=said.append, trainer=trainer)

    with pytest.raises(KeyboardInterrupt):
        run(trainer=_stopped)
    assert any("base  skin:" in line for line in said) and any("novel  dog:" in line for line in said)
    [begun] = (tmp_path / "runs" / "weak_shot").glob("project-*")
    newer = full.project.task()
    full.project.annotate(newer, ticked("dog"))  # work goes on while a training stands still
    with pytest.raises(BadInput, match="other novel classes, without hat"):
        train_project(full.project.id, settings, replace(wishes, novel=["hat"]), say=said.append)

    outcome = run()
    assert outcome.run == begun and "going on with" in said[0]
    assert named(newer) not in outcome.snapshot.manifest["clips"], "a run keeps to its snapshot"
    registry = Registry(settings.models_dir)
    version = next(v for v in registry.versions("weak_shot") if v.name == outcome.version)
    assert version.weights.read_bytes() == outcome.weights.read_bytes() and not version.is_served
    assert version.card["snapshot"] == outcome.snapshot.digest == outcome.snapshot.folder.name
    assert version.card["training"]["classes"] == {"names": ["skin", "hat", "dog"], "novel": ["dog"]}
    registry.promote("weak_shot", outcome.version)
    assert registry.served("weak_shot").version == outcome.version

    def done(*args: object, **how: object) -> Path:
        return outcome.weights

    later = run(trainer=done)
    assert later.run != begun and named(newer) in later.snapshot.manifest["clips"]
    assert run(trainer=done).run == later.run, "the same snapshot, the same run folder"
    full.project.client.delete_task(newer)


def _stopped(*args: object, **how: object) -> Path:
    raise KeyboardInterrupt


def test_a_snapshot_that_was_edited_is_not_trained_on(full: Full, tmp_path: Path) -> None:
    settings = settings_of(full.project.server, tmp_path)
    wishes = Wishes(overrides=QUICK, enough=ENOUGH)
    with pytest.raises(KeyboardInterrupt):
        train_project(full.project.id, settings, wishes, say=lambda line: None, trainer=_stopped)
    [snapshot] = (tmp_path / "snapshots").iterdir()
    tags = snapshot / "tags.json"
    tags.chmod(0o644)
    tags.write_text(tags.read_text().replace("dog", "hat"))
    with pytest.raises(BadInput, match=r"tags\.json was changed"):
        train_project(full.project.id, settings, wishes, say=lambda line: None)
    with pytest.raises(BadInput, match=r"tags\.json was changed"):
        train("weak_shot", data=snapshot, out=tmp_path / "run", overrides=QUICK)
    assert not (tmp_path / "models").exists()


def test_two_trainings_of_one_project_do_not_mix(full: Full, tmp_path: Path) -> None:
    settings = settings_of(full.project.server, tmp_path)
    wishes = Wishes(overrides=QUICK, enough=ENOUGH)

    def another(*args: object, **how: object) -> Path:
        with pytest.raises(Unavailable, match="being trained by another process"):
            train_project(full.project.id, settings, wishes, say=lambda line: None)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_project(full.project.id, settings, wishes, say=lambda line: None, trainer=another)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("weak_shot", "--project", "{P}"), 2, "no base class: wants at least one class with 3 photos"),
        (("weak_shot", "--project", "{P}", "--novel", "cat"), 2, "no such class: cat"),
        (("weak_shot", "--project", "999999"), 2, "no Project matches"),
        (("weak_shot", "--novel", "dog"), 2, "--novel goes with --project"),
        (("video_object", "--project", "{P}"), 2, "is one of weak_shot: `maskloop train weak_shot"),
        (("clicks", "--project", "{P}"), 2, "--project goes with weak_shot, video_object, video_semantic"),
        (("video_semantic", "--project", "{P}", "--novel", "dog"), 2, "--novel goes with weak_shot"),
        (("weak_shot", "--project", "{P}", "--data", "x"), 2, "leave --data and --stills away"),
        (("weak_shot",), 2, "--project P instead"),
    ],
)
def test_refusals_as_people_see_them(
    project: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    project.annotate(project.task([(2, DOG)]), ticked("dog"))
    for name, value in to_env(settings_of(project.server, tmp_path)).items():
        monkeypatch.setenv(name, value)
    assert cli.main(["train", *(word.replace("{P}", str(project.id)) for word in words)]) == code
    assert says.lower() in capsys.readouterr().err.lower()
    assert not (tmp_path / "snapshots").exists(), "nothing is written for a project that is refused"
