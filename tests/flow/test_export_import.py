"""A project in a running Label Studio goes out in every format, and comes back in through four of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.core.types import Mask
from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.media import FrameLocator
from backends.settings import Settings, to_env
from pipelines import cli
from pipelines.export.formats import FORMATS
from pipelines.export.formats.view import frame_names
from pipelines.export.project import ProjectWork, read_project_work
from pipelines.export.write import RECORD, export
from pipelines.tag_project import make
from tests.export_house import DISC, LABELS, LEFT, RIGHT, RING, clip_xml, pictures, results
from tests.label_studio import LabelStudioServer

pytestmark = pytest.mark.labelstudio

OUTSIDE = RIGHT & ~RING
FILES = ("00000.jpg", "00001.jpg", "00002.jpg", "00003.png")


@dataclass
class House:
    """Label Studio with a project of two clips and one that was skipped."""

    server: LabelStudioServer
    client: LabelStudioClient
    settings: Settings
    project_id: int

    def work(self, project_id: int) -> ProjectWork:
        cache = self.settings.data_dir / "cache"
        files = FrameLocator(self.server.media_root, self.server.url, self.server.token, cache)
        return read_project_work(self.client, project_id, files)

    def new_project(self, title: str, xml: str) -> int:
        number = int(self.client.create_project(title, xml)["id"])
        self.client.put_local_storage(number, str(self.server.media_root / "clips"))
        return number


def masks(work: ProjectWork) -> dict[tuple[str, str, str], Mask]:
    """(video's first letters, frame's name, label) -> mask, all tasks together."""
    found = {}
    for one in work.clips:
        opinion = one.work.mask_opinion
        for saved in opinion.masks if opinion else ():
            found[one.name[:3], frame_names(one)[saved.frame_index], saved.label] = saved.mask
    return found


def same(there: Mapping[Any, Mask], wanted: Mapping[Any, Mask]) -> None:
    assert set(there) == set(wanted)
    for key, mask in wanted.items():
        assert np.array_equal(there[key], mask), key


@pytest.fixture(scope="module")
def house(label_studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory) -> House:
    client = LabelStudioClient(label_studio.url, label_studio.token)
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        media_root=label_studio.media_root,
        label_studio_url=label_studio.url,
        label_studio_token=label_studio.token,
        secret="export-secret-0123456789",
    )
    (label_studio.media_root / "clips").mkdir(exist_ok=True)
    house = House(label_studio, client, settings, 0)
    house.project_id = house.new_project("Straßenszenen", clip_xml())
    bus = [("object 1", 0, RING), (LABELS[2], 0, OUTSIDE), ("object 1", 3, LEFT), (LABELS[1], 2, DISC)]
    bear = [(LABELS[1], 1, RIGHT)]
    for name, painted in (("bus-1a2b3c4d5e-000", bus), ("bear-1a2b3c4d5e-000", bear), ("skipped", [])):
        pictures(label_studio.media_root / "clips" / name, FILES)
        frames = [f"/data/local-files/?d=clips/{name}/{file}" for file in FILES]
        [task] = client.import_tasks(house.project_id, [{"data": {"frames": frames, "clip": name}}])
        body = {"result": results(painted), "lead_time": 4.5, "was_cancelled": not painted}
        client.connection.post(f"/api/tasks/{task}/annotations/", body)
    second = {"result": results([(LABELS[0], 1, LEFT)]), "lead_time": 1.0}
    first_task = next(iter(client.tasks(house.project_id)))["id"]
    star = client.annotations(int(first_task))[0]["id"]
    client.connection.post(f"/api/tasks/{first_task}/annotations/", second)
    client.connection.patch(f"/api/annotations/{star}/", {"ground_truth": True})
    return house


@pytest.fixture
def typed(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """The commands find this Label Studio."""
    for name, value in to_env(house.settings).items():
        monkeypatch.setenv(name, value)
    return house


@pytest.mark.parametrize("name", FORMATS)
def test_the_command_writes_every_format(
    name: str, typed: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main(["export", "--project", "Straßenszenen", "--format", name, "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert f"2 tasks, 8 frames as {name}" in said.out
    assert "skipped by the annotator" in said.err and "several annotations with masks" in said.err
    assert f"note: {name} holds " in said.err
    told = json.loads((out / RECORD).read_text())
    assert (told["project"], told["format"]) == (typed.project_id, name)


def test_label_studio_takes_its_own_back_with_everything(house: House, tmp_path: Path) -> None:
    before = house.work(house.project_id)
    export(before, "labelstudio", tmp_path / "out")
    xml = (tmp_path / "out" / "label_config.xml").read_text()
    number = house.new_project("moved", xml)
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    house.client.import_tasks(number, tasks)
    after = house.work(number)
    same(masks(after), masks(before))
    [bus, bear] = after.clips
    opinions = bus.work.opinions
    assert len(opinions) == 2 and bus.work.mask_opinion is not None
    assert bus.work.mask_opinion.is_ground_truth
    frames = {saved.region_id: saved.frame_index for saved in bus.work.mask_opinion.masks}
    assert frames == {"r0": 0, "r1": 0, "r2": 3, "r3": 2}, "item_index and region ids"
    assert sorted(one.lead_time_s or 0 for one in opinions) == [1.0, 4.5]
    assert bear.data["clip"] == "bear-1a2b3c4d5e-000"


@pytest.mark.parametrize("name", ["davis", "youtube-vos", "coco", "voc"])
def test_out_in_and_out_again_gives_the_same(
    name: str, typed: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = typed.work(typed.project_id)
    export(before, name, tmp_path / "first")
    number = typed.new_project(f"back as {name}", clip_xml())
    command = ["import", "--project", str(number), "--from", str(tmp_path / "first"), "--format", name]
    assert cli.main(command) == 0, capsys.readouterr().err
    assert f"project {number}: 2 tasks added with 5 masks" in capsys.readouterr().out
    after = typed.work(number)
    same(masks(after), masks(before))
    for one in after.clips:
        assert not any(opinion.is_ground_truth for opinion in one.work.opinions), "later ones count"
        mine = next(other for other in before.clips if other.name[:3] == one.name[:3])
        assert [path.read_bytes() for path in one.frames] == [path.read_bytes() for path in mine.frames]
    renamed = {one.name[:3]: one.name for one in before.clips}
    again = replace(after, clips=tuple(replace(one, name=renamed[one.name[:3]]) for one in after.clips))
    export(again, name, tmp_path / "second")
    numbers = (tmp_path / "first", tmp_path / "second")
    for path in sorted(numbers[0].rglob("*.png")):
        inside = path.relative_to(numbers[0])
        assert path.read_bytes() == (numbers[1] / inside).read_bytes(), inside
    assert cli.main(command) == 0
    assert "0 tasks added with 0 masks, 2 were there" in capsys.readouterr().out
    assert len(list(typed.client.tasks(number))) == 2


def test_a_title_makes_a_project_with_the_labels_and_bad_items_are_named(
    typed: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make, "connect", lambda *_: None)  # no backend runs here
    monkeypatch.setenv("MASKLOOP_MAX_CLIP_FRAMES", "3")
    export(typed.work(typed.project_id), "davis", tmp_path / "data")
    spoilt = next((tmp_path / "data" / "Annotations").rglob("bear*/00000.png"))
    spoilt.write_bytes(b"junk")
    command = ["import", "--title", "From files", "--from", str(tmp_path / "data"), "--format", "davis"]
    assert cli.main(command) == 2
    said = capsys.readouterr()
    assert "bear-1a2b3c4d5e-000, frame 00000: " in said.err and "00000.png" in said.err
    assert "4 tasks added with 6 masks" in said.out, "cut into clips that overlap by one frame, shown twice"
    number = next(int(one["id"]) for one in typed.client.projects() if one["title"] == "From files")
    after = typed.work(number)
    assert after.labels == LABELS and len(after.clips) == 4 - 1, "a part without a mask waits for somebody"
    assert all(mask.any() for mask in masks(after).values())
    assert cli.main(command) == 0, "nothing had to be read again"
    assert "0 tasks added with 0 masks, 4 were there" in capsys.readouterr().out


def test_what_cannot_be_used_is_refused_before_anything_is_made(
    typed: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = len(typed.client.projects())
    (tmp_path / "empty").mkdir()
    command = ["import", "--title", "Never", "--from", str(tmp_path / "empty"), "--format"]
    assert cli.main([*command, "coco"]) == 2
    assert cli.main([*command, "kitti"]) == 2
    assert len(typed.client.projects()) == there
    out = tmp_path / "full"
    out.mkdir()
    (out / "mine.txt").write_text("x")
    assert cli.main(["export", "--project", "nobody's", "--format", "voc", "--out", str(out)]) == 2
    assert cli.main(["export", "--project", "Straßenszenen", "--format", "voc", "--out", str(out)]) == 2
    assert "holds other files (mine.txt)" in capsys.readouterr().err
