"""The adapter for the official server: the same answers, under that server's class."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from backends import ml_adapter
from backends.core.errors import SetupFault
from backends.labelstudio.regions import region_id
from backends.registry import Registry
from tests.predict_requests import LABEL_CONFIG, click, interactive, task
from tests.served_house import serve_a_model, wait_until, write_clip


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An installation in the environment; yields the served version. No Redis: clicks need none."""
    monkeypatch.setenv("MASKLOOP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MASKLOOP_SECRET", "adapter-secret-0123456789")
    monkeypatch.setenv("MASKLOOP_LABEL_STUDIO_TOKEN", "0" * 40)
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))  # where the official package keeps its cache
    write_clip(tmp_path / "media" / "clips" / "bus", 3)
    ml_adapter._parts.cache_clear()
    ml_adapter._clicks.cache_clear()
    yield serve_a_model(tmp_path / "models", tmp_path)
    ml_adapter._parts.cache_clear()
    ml_adapter._clicks.cache_clear()


class Base:
    """What the adapter uses of LabelStudioMLBase: its constructor's order of calls and its store."""

    def __init__(self, project_id: str, label_config: str) -> None:
        self.project_id, self.label_config = project_id, label_config
        self.kept: dict[str, str] = {}
        self.setup()

    def set(self, key: str, value: str) -> None:
        self.kept[key] = value

    def setup(self) -> None:
        raise AssertionError("the adapter's setup comes first")


class Model(ml_adapter.Delegating, Base):  # type: ignore[misc]
    """The adapter over that stand-in."""


ASK = interactive(task(20, 3), [click("c", "object 1", 1, 22, 24)])


def test_a_click_is_answered_as_by_our_own_server(version: str) -> None:
    model = Model("16", LABEL_CONFIG)
    assert model.kept == {"model_version": version}
    answer = model.predict(ASK["tasks"], context=ASK["params"]["context"], login=None, password=None)
    assert [region["id"] for region in answer[0]["result"]] == [region_id("object 1", 1)]


def test_a_projects_own_version_is_told(version: str, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")
    (tmp_path / "own.safetensors").write_bytes(b"of project 16")
    own = registry.add("video_object", tmp_path / "own.safetensors").version
    registry.promote("video_object", own, 16)
    told = [Model(project, LABEL_CONFIG).kept["model_version"] for project in ("16", "17", "")]
    assert told == [own, version, version]


@pytest.mark.parametrize("context", [None, {}])
def test_no_context_is_a_batch(version: str, context: Any) -> None:
    assert Model("16", LABEL_CONFIG).predict([task(20, 3), task(21, 3)], context=context) == [[], []]


def test_events_are_recorded_and_nothing_trains(version: str) -> None:
    model = Model("16", LABEL_CONFIG)
    model.fit("START_TRAINING", {"project": {"id": 16}}, job_id="1")
    notices = ml_adapter._parts().notices
    assert [(event.action, event.project_id) for event in notices.events()] == [("START_TRAINING", 16)]
    told = wait_until(lambda: [notice.text for notice in notices.recent()])
    assert told[0].startswith("Start training was pressed in project 16, but nothing began: ")


def test_without_the_official_package_the_way_out_is_named() -> None:
    if importlib.util.find_spec("label_studio_ml"):
        pytest.skip("label-studio-ml is installed here; the next test uses it")
    with pytest.raises(SetupFault, match="own server"):
        ml_adapter.model_class()


def test_the_official_server_answers_a_click(version: str) -> None:
    api = pytest.importorskip("label_studio_ml.api", reason="label-studio-ml 2.x is not installed")
    client = api.init_app(model_class=ml_adapter.model_class()).test_client()
    setup = client.post("/setup", json={"project": "16.1", "schema": LABEL_CONFIG}).get_json()
    assert setup["model_version"] == version
    answer = client.post("/predict", json=ASK).get_json()
    assert [region["id"] for region in answer["results"][0]["result"]] == [region_id("object 1", 1)]
