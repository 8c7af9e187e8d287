"""What people and machines do to a cycle of the loop: work that is none, tasks that vanish, a full disk."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.core.images import read_index_mask
from backends.labelstudio.client import LabelStudioClient
from backends.loop.folder import Cycle, ProjectFolder
from backends.loop.policy import Policy
from backends.registry import Registry, version_of
from backends.settings import Settings, to_env
from pipelines import cli
from pipelines.export.snapshot import open_snapshot
from pipelines.loop.cycle import Wishes, improve
from pipelines.loop.plan import Plan, data_of
from pipelines.loop.record import WEIGHTS, write_scores
from pipelines.loop.scores import Figure, Scores
from pipelines.loop.work import Failed, Report
from tests.clip_house import clip_xml, on, write_frames
from tests.label_studio import LabelStudioServer
from tests.project_house import block
from tests.promotion_killer import ALGORITHM, House

OBJECTS = "video_object"
FIRST, LATER = block(2, 14, 2, 14), block(8, 22, 10, 30)


class Project:
    """A project of clips in a running Label Studio, and cycles whose trainings take no time."""

    def __init__(self, folder: Path, server: LabelStudioServer, labels: tuple[str, ...]) -> None:
        self.client = LabelStudioClient(server.url, server.token)
        self.id = int(self.client.create_project("loop troubles", clip_xml(labels))["id"])
        self.media = server.media_root / "clips"
        self.media.mkdir(exist_ok=True)
        self.client.put_local_storage(self.id, str(self.media))
        self.settings = Settings(
            data_dir=folder,
            models_dir=folder / "models",
            media_root=server.media_root,
            label_studio_url=server.url,
            label_studio_token=server.token,
        )
        self.folder = ProjectFolder(folder, self.id)
        self.folder.save_policy(Policy(promote="auto", enough_train=2))
        self.shipped = Registry(self.settings.models_dir).served(OBJECTS).version
        self.said: list[str] = []

    def add(self, clip: str, *annotations: dict[str, object]) -> int:
        folder = f"p{self.id}-{clip}"
        paths = write_frames(self.media / folder, 2)
        frames = [f"/data/local-files/?d=clips/{folder}/{path.name}" for path in paths]
        [task] = self.client.import_tasks(self.id, [{"data": {"frames": frames, "clip": clip}}])
        for annotation in annotations:
            self.annotate(task, **annotation)
        return task

    def annotate(self, task: int, **fields: object) -> None:
        result = [on(0, "object 1", FIRST), on(1, "object 1", LATER)]
        self.client.connection.post(f"/api/tasks/{task}/annotations/", {"result": result, **fields})

    def improve(self, meanwhile: int = 0) -> Cycle:
        """A cycle whose candidate is better; the task ``meanwhile`` is deleted while it trains."""

        def work(plan: Plan, settings: Settings, report: Report) -> None:
            if meanwhile:
                self.client.delete_task(meanwhile)
            weights = plan.run / WEIGHTS
            weights.write_bytes(plan.run.name.encode())
            data = data_of(open_snapshot(plan.snapshot))
            scored = [
                Scores(version, "j_and_f", points, {"object 1": Figure(points, 2)}, data)
                for version, points in ((version_of(OBJECTS, weights), 80.0), (self.served(), 70.0))
            ]
            write_scores(plan.run, *scored)

        return improve(self.id, self.settings, Wishes(), say=self.said.append, work=work).cycle

    def served(self) -> str:
        return Registry(self.settings.models_dir).served(OBJECTS, self.id).version


@pytest.fixture
def project(label_studio: LabelStudioServer, tmp_path: Path) -> Project:
    return Project(tmp_path, label_studio, ("object 1", "object 2"))


@pytest.mark.labelstudio
def test_a_project_without_work_that_counts_is_refused_with_counts_whoever_asks(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in to_env(project.settings).items():
        monkeypatch.setenv(name, value)

    def typed() -> str:
        assert cli.main(["improve", "--project", str(project.id)]) == 2
        return capsys.readouterr().err

    assert f"project {project.id} has no tasks" in typed()
    project.add("bus-000", {"was_cancelled": True})
    project.add("cat-000", {"was_cancelled": True}, {"was_cancelled": True})
    project.add("dog-000")
    project.add("fox-000", {"result": []})
    said = typed()
    assert "1 are not annotated" in said and "skipped" in said
    assert project.folder.cycles() == [] and project.served() == project.shipped


@pytest.mark.labelstudio
def test_disagreement_and_a_task_that_is_deleted_while_it_trains(
    project: Project, label_studio: LabelStudioServer
) -> None:
    account = {"email": "kim@example.com", "username": "kim", "password": "canary-password-3"}
    kim = int(project.client.connection.post("/api/users/", account)["id"])
    both = project.add("cat-000", {"completed_by": kim, "result": [on(0, "object 1", LATER)]}, {})
    others = [project.add(f"{name}-000", {}) for name in ("bus", "dog", "fox")]
    project.add("skipped-000", {"was_cancelled": True})

    cycle = project.improve(meanwhile=both)
    assert (cycle.outcome, project.served()) == ("promoted", cycle.candidate)
    snapshot = open_snapshot(project.settings.data_dir / "snapshots" / cycle.snapshot)
    told = snapshot.manifest["clips"]["cat-000"]
    assert [(one["by"], one["masks_count"]) for one in told["annotations"]] == [
        ("kim@example.com", False),
        (label_studio.username, True),
    ]
    assert "saved last" in snapshot.manifest["policy"]["masks"]
    drawn = read_index_mask(snapshot.folder / "Annotations/cat-000/00000.png")
    assert (drawn == FIRST).all(), "the one that counts, and nothing of the other"
    assert any("several annotations with masks" in line for line in project.said)

    project.annotate(others[0])
    again = project.improve()
    assert again.outcome == "promoted" and again.snapshot != cycle.snapshot
    later = open_snapshot(project.settings.data_dir / "snapshots" / again.snapshot).manifest
    assert set(later["clips"]) == {"bus-000", "dog-000", "fox-000"}
    assert later["videos"].items() <= snapshot.manifest["videos"].items(), "no video changed sides"


@pytest.mark.labelstudio
def test_one_class_is_enough_for_objects(label_studio: LabelStudioServer, tmp_path: Path) -> None:
    project = Project(tmp_path, label_studio, ("object 1",))
    for name in ("bus", "cat", "dog"):
        project.add(f"{name}-000", {})
    assert project.improve().outcome == "promoted"


class Disk:
    """A disk for a folder, of its own where we may make one; else our files can be kept small."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = str(folder)
        self._is_own = os.geteuid() == 0 and self._mount("size=1200k") == 0
        self._limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        """No room for one weights file more than the first."""
        if not self._is_own:
            resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, self._limit[1]))

    def free(self) -> None:
        """Room enough."""
        if self._is_own:
            assert self._mount("remount,size=8m") == 0
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, self._limit)

    def close(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limit)
        if self._is_own:
            subprocess.run(["umount", self._folder], check=True)

    def _mount(self, how: str) -> int:
        command = ["mount", "-t", "tmpfs", "-o", how, "tmpfs", self._folder]
        return subprocess.run(command, capture_output=True).returncode


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "models")
    yield made
    made.close()


def test_a_disk_that_is_full_when_the_version_is_written_leaves_the_served_one(
    tmp_path: Path, disk: Disk
) -> None:
    house = House(tmp_path)
    first, house.number = house.loaded(), 1
    with pytest.raises(Failed, match=r"(No space left on device|File too large).*untouched"):
        house.improve(disk.fill, fresh=True)
    assert house.loaded() == first
    assert [version.name for version in house.registry.versions(ALGORITHM) if not version.is_shipped] == [
        first[0]
    ]
    [broken] = house.folder.cycles()
    assert broken.outcome == "failed" and "None" not in broken.error
    disk.free()
    done = house.improve(lambda: None, fresh=False).cycle
    assert (done.name, done.outcome, house.loaded()[1]) == (broken.name, "promoted", 1)
