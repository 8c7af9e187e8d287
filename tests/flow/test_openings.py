"""Tasks in a running Label Studio open with what is served, after promoting and after going back."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.opening import NEWEST, open_with
from backends.loop.files import write_json
from backends.loop.folder import ProjectFolder
from backends.registry import Registry
from pipelines import cli
from tests.clip_house import clip_xml, on, scene_xml
from tests.http_script import reply, scripted
from tests.label_studio import LabelStudioServer
from tests.project_house import SIZE_HW, block

pytestmark = pytest.mark.labelstudio

VIDEO = "video_object"
MASK = block(4, 12, 4, 12, SIZE_HW)


class Versions:
    """A data folder with three versions, one Label Studio, and what is typed at the folder."""

    def __init__(self, folder: Path, label_studio: LabelStudioServer, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, patch
        self.client = LabelStudioClient(label_studio.url, label_studio.token)
        self.registry = Registry(folder / "models")
        self.one, self.two, self.three = (self.add(name) for name in ("one", "two", "three"))
        for name, value in {
            "DATA_DIR": folder,
            "MODELS_DIR": self.registry.models_dir,
            "LABEL_STUDIO_URL": label_studio.url,
            "LABEL_STUDIO_TOKEN": label_studio.token,
        }.items():
            patch.setenv(f"MASKLOOP_{name}", str(value))

    def add(self, name: str) -> str:
        weights = self.folder / "new.safetensors"
        weights.write_bytes(name.encode())
        return self.registry.add(VIDEO, weights).version

    def project(self, *predicted: str, xml: str = "") -> int:
        """With a task that holds a prediction of each of these versions."""
        project = int(self.client.create_project("openings", xml or clip_xml())["id"])
        [task] = self.client.import_tasks(project, [{"data": {"frames": ["/data/a.png", "/data/b.png"]}}])
        for version in predicted:
            self.client.create_prediction(task, [on(0, "object 1", MASK)], version)
        return project

    def opens_with(self, project: int) -> str:
        return str(self.client.project(project)["model_version"] or NEWEST)

    def typed(self, *words: str) -> None:
        assert cli.main(words) == 0


@pytest.fixture
def versions(tmp_path: Path, label_studio: LabelStudioServer, monkeypatch: pytest.MonkeyPatch) -> Versions:
    return Versions(tmp_path, label_studio, monkeypatch)


def test_a_project_opens_with_what_is_served_there(versions: Versions) -> None:
    project = versions.project(versions.one, versions.two)
    for version in (versions.one, versions.two):
        versions.typed("promote", VIDEO, version, "--project", str(project))
        assert versions.opens_with(project) == version
    versions.typed("roll-back", VIDEO, "--project", str(project))
    assert versions.opens_with(project) == versions.one
    versions.typed("promote", VIDEO, versions.three, "--project", str(project))
    assert versions.opens_with(project) == NEWEST, "it predicted nothing there yet; its first will be newest"


def test_a_change_for_all_reaches_the_projects_without_a_version_of_their_own(versions: Versions) -> None:
    plain, own = (versions.project(versions.one, versions.two) for _ in range(2))
    scenes = versions.project(versions.one, xml=scene_xml())
    versions.typed("promote", VIDEO, versions.two, "--project", str(own))
    versions.typed("promote", VIDEO, versions.one)
    opens = [versions.opens_with(project) for project in (plain, own, scenes)]
    assert opens == [versions.one, versions.two, NEWEST]


def test_a_waiting_version_that_is_promoted_by_hand_waits_no_more(versions: Versions) -> None:
    project = versions.project()
    folder = ProjectFolder(versions.folder, project)
    told = {"algorithm": VIDEO, "outcome": "waiting", "candidate": versions.two}
    write_json(folder.runs / "0001-1a2b3c4d" / "cycle.json", told)
    versions.typed("promote", VIDEO, versions.one, "--project", str(project))
    assert folder.waiting() is not None
    versions.typed("promote", VIDEO, versions.two, "--project", str(project))
    assert folder.waiting() is None and folder.cycle("0001-1a2b3c4d").outcome == "promoted"


def test_a_project_that_asks_the_backend_itself_is_left_alone(
    versions: Versions, capsys: pytest.CaptureFixture[str]
) -> None:
    project = versions.project(versions.one, versions.two)
    with scripted(lambda asked, handler: reply(handler, 200, b'{"status": "UP"}')) as backend:
        versions.client.put_ml_backend(project, backend.url, title="MaskLoop", user="u", password="p")
    versions.client.patch_project(project, model_version="MaskLoop", show_collab_predictions=True)
    versions.typed("promote", VIDEO, versions.one, "--project", str(project))
    assert versions.opens_with(project) == "MaskLoop"
    assert f"note: project {project} asks the backend" in capsys.readouterr().err


def test_without_label_studio_the_version_is_served_and_a_note_says_what_was_not_done(
    versions: Versions, capsys: pytest.CaptureFixture[str]
) -> None:
    versions.patch.setenv("MASKLOOP_LABEL_STUDIO_URL", "http://127.0.0.1:9")
    for words in (["--project", "7"], []):
        versions.typed("promote", VIDEO, versions.one, *words)
        said = capsys.readouterr()
        assert f"{versions.one} is served from the next request on" in said.out
        assert said.err.startswith("note: tasks") and "127.0.0.1:9" in said.err
    assert versions.registry.served(VIDEO).version == versions.registry.served(VIDEO, 7).version


def test_a_token_that_is_refused_is_a_note_too(versions: Versions, label_studio: LabelStudioServer) -> None:
    project = versions.project(versions.one)
    stranger = LabelStudioClient(label_studio.url, "0" * 40)
    assert "could not be told which to show" in open_with(stranger, project, versions.one)
    assert versions.opens_with(project) == NEWEST
