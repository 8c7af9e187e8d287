"""A project's unfinished run goes on with its own snapshot; Label Studio need not even be there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backends.core.errors import BadInput, LabelStudioDown
from backends.registry import Registry
from backends.settings import Settings
from pipelines.export.snapshot import Snapshot, SnapshotWriter
from pipelines.weak_shot_project import folder
from pipelines.weak_shot_project.run import Outcome, Wishes, train_project


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        models_dir=tmp_path / "models",
        label_studio_url="http://127.0.0.1:9",
        label_studio_token="0" * 40,
    )


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    with SnapshotWriter(tmp_path / "snapshots") as writer:
        writer.put_json("tags.json", {})
        classes = {"skin": {"role": "base"}, "dog": {"role": "novel"}}
        return writer.finish({"base_photos": 500, "classes": classes})


@pytest.fixture
def begun(tmp_path: Path, snapshot: Snapshot) -> Path:
    run = tmp_path / "runs" / "weak_shot" / f"project-3-{snapshot.digest[:12]}"
    folder.claim(run, 3, snapshot.digest, fresh=False)
    return run


def trained(settings: Settings, **wishes: object) -> Outcome:
    def trainer(algorithm: str, *, data: Path, out: Path, **how: object) -> Path:
        (out / "weights.safetensors").write_bytes(data.name.encode())
        return out / "weights.safetensors"

    return train_project(3, settings, Wishes(**wishes), say=lambda line: None, trainer=trainer)  # type: ignore[arg-type]


def test_an_unfinished_run_goes_on_and_a_finished_one_does_not(
    settings: Settings, begun: Path, snapshot: Snapshot
) -> None:
    outcome = trained(settings, novel=["dog"])
    assert (outcome.run, outcome.snapshot) == (begun, snapshot)
    [version] = [v for v in Registry(settings.models_dir).versions("weak_shot") if not v.is_shipped]
    assert version.name == outcome.version and version.card["project"] == 3
    with pytest.raises(LabelStudioDown):
        trained(settings)  # the next run wants the project of now


def test_a_run_of_another_project_is_not_gone_on_with(settings: Settings, begun: Path) -> None:
    shutil.move(begun, begun.with_name("project-30-x"))
    with pytest.raises(LabelStudioDown):
        trained(settings)


@pytest.mark.parametrize("novel", ["skin", "hat"])
def test_other_novel_classes_want_a_fresh_run(settings: Settings, begun: Path, novel: str) -> None:
    with pytest.raises(BadInput, match=f"other novel classes, without {novel}"):
        trained(settings, novel=[novel])
    with pytest.raises(LabelStudioDown):
        trained(settings, novel=[novel], fresh=True)
    assert folder.told_of(begun), "the earlier run is not removed before there is another snapshot"


def test_a_folder_of_another_snapshot_is_refused(settings: Settings, begun: Path) -> None:
    with pytest.raises(BadInput, match="holds a run of another snapshot"):
        folder.claim(begun, 3, "0" * 32, fresh=False)
    folder.claim(begun, 3, "0" * 32, fresh=True)
    assert folder.told_of(begun)["snapshot"] == "0" * 32
