"""What the worker keeps in memory: the video model from the start, the others when a job first asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends import catalogue
from backends.core.errors import BadInput, Unavailable
from backends.settings import Settings
from pipelines.working.collaborators import ServedModels
from tests.served_house import serve_a_model
from tests.stand_in import StandIn


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Versions in the order in which they are loaded; the models are stand-ins."""
    order: list[str] = []

    def load(weights: Path, settings: Settings, version: str) -> StandIn:
        order.append(version)
        return StandIn(version=version)

    for name in ("video_object", "weak_shot"):
        known = catalogue.ALGORITHMS[name]
        monkeypatch.setitem(
            catalogue.ALGORITHMS, name, catalogue.Algorithm(load, known.metric, known.label_config)
        )
    return order


def test_each_model_is_loaded_once_and_only_when_asked_for(tmp_path: Path, loaded: list[str]) -> None:
    settings = Settings(models_dir=tmp_path / "models")
    video = serve_a_model(settings.models_dir, tmp_path, "video_object")
    tags = serve_a_model(settings.models_dir, tmp_path, "weak_shot")
    models = ServedModels(settings)
    assert models.warm() == video and loaded == [video]
    assert models(tags).version == tags and loaded == [video, tags]
    assert models(video).version == video and models(tags) is models(tags)
    assert loaded == [video, tags], "both stay warm"


def test_another_version_is_loaded_when_it_is_promoted(tmp_path: Path, loaded: list[str]) -> None:
    settings = Settings(models_dir=tmp_path / "models")
    models = ServedModels(settings)
    first = serve_a_model(settings.models_dir, tmp_path, "weak_shot")
    assert models(first).version == first
    (tmp_path / "other").mkdir()
    weights = tmp_path / "other" / "weights.safetensors"
    weights.write_bytes(b"newer")
    registry = models._registry
    second = registry.add("weak_shot", weights).version
    registry.promote("weak_shot", second)
    with pytest.raises(Unavailable, match=f"{second} is served now"):
        models(first)
    assert models(second).version == second and loaded == [first, second]


def test_a_version_of_no_known_algorithm_is_refused(tmp_path: Path, loaded: list[str]) -> None:
    with pytest.raises(BadInput, match="video_object, weak_shot"):
        ServedModels(Settings(models_dir=tmp_path))("dance-00000000")
