"""What the worker keeps in memory: the video model from the start, the others when a job first asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends import catalogue
from backends.core.errors import BadInput, SetupFault, Unavailable
from backends.registry import Registry
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


def test_what_was_asked_for_before_a_promotion_is_made_with_the_version_of_then(
    tmp_path: Path, loaded: list[str]
) -> None:
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
    assert models(second).version == second and models(first).version == first
    models(second), models(first)
    assert loaded == [first, second, first], "room was made for the new one, then both stay"
    registry.roll_back("weak_shot")
    with pytest.raises(Unavailable, match=f"{second}, which was taken back; {first} is served now. Retry"):
        models(second)


def serve(
    registry: Registry, folder: Path, content: bytes, project: int, algorithm: str = "weak_shot"
) -> str:
    path = folder / "new.safetensors"
    path.write_bytes(content)
    return registry.promote(algorithm, registry.add(algorithm, path).version, project).version


def test_versions_of_several_projects_stay_loaded_side_by_side(tmp_path: Path, loaded: list[str]) -> None:
    models, registry = ServedModels(Settings(models_dir=tmp_path)), Registry(tmp_path)
    versions = [serve(registry, tmp_path, b"%d" % project, project) for project in (0, 7, 8)]
    for version in versions * 3:
        assert models(version).version == version
    assert loaded == versions
    registry.roll_back("weak_shot", 8)
    with pytest.raises(Unavailable, match=f"{versions[2]}, which was taken back; {versions[0]} is served"):
        models(versions[2])
    registry.promote("weak_shot", versions[2], 9)
    assert models(versions[2]).version == versions[2], "it does not matter which project it is served to"


def test_no_more_than_the_setting_says_are_kept(tmp_path: Path, loaded: list[str]) -> None:
    models, registry = ServedModels(Settings(models_dir=tmp_path, warm_models=2)), Registry(tmp_path)
    one, two, three = (serve(registry, tmp_path, b"%d" % project, project) for project in (1, 2, 3))
    for version in (one, two, one, three, one):
        models(version)
    assert loaded == [one, two, three], "of two, the one asked for longest ago made room"
    models(two)
    assert loaded == [one, two, three, two]
    with pytest.raises(SetupFault, match="WARM_MODELS is 0"):
        Settings(warm_models=0)


def test_what_is_served_to_nobody_makes_room_first(tmp_path: Path, loaded: list[str]) -> None:
    models, registry = ServedModels(Settings(models_dir=tmp_path, warm_models=2)), Registry(tmp_path)
    one, two = (serve(registry, tmp_path, b"%d" % project, project) for project in (1, 2))
    models(one), models(two)
    three = serve(registry, tmp_path, b"3", 2)  # project 2 goes on with three
    models(three), models(one)
    assert loaded == [one, two, three]


def test_a_file_that_is_not_what_its_name_says_is_not_loaded(tmp_path: Path, loaded: list[str]) -> None:
    models, registry = ServedModels(Settings(models_dir=tmp_path)), Registry(tmp_path)
    torn = serve(registry, tmp_path, b"whole", 7)
    (tmp_path / "weak_shot" / torn / "weights.safetensors").write_bytes(b"wh")
    with pytest.raises(BadInput, match="not what its name says"):
        models(torn)
    assert loaded == []


def test_a_version_of_no_known_algorithm_is_refused(tmp_path: Path, loaded: list[str]) -> None:
    with pytest.raises(BadInput, match="video_object, weak_shot"):
        ServedModels(Settings(models_dir=tmp_path))("dance-00000000")
