"""Recipes: bounded steps, settings that the trainings accept, the served version's own network."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from backends.core.errors import BadInput
from backends.registry import Registry
from pipelines.loop.plan import Plan, data_of
from pipelines.loop.recipe import BEGIN, TUNE, Effort, merged, settings_for, steps_of
from pipelines.loop.scores import Data
from tests import loop_snapshots

ALGORITHMS = ("video_object", "video_semantic", "weak_shot")


def start_of(algorithm: str, tmp_path: Path) -> str:
    """Shipped weights where there are any, else weights of a network with random numbers."""
    if algorithm != "video_semantic":
        return str(Registry(tmp_path).shipped(algorithm).weights)
    from backends.video_semantic.networks import NetworkConfig, build
    from backends.video_semantic.weights_file import save_weights

    config = NetworkConfig(classes=3)
    save_weights(build(config).state_dict(), config, ("a", "b", "c"), tmp_path / "w.safetensors")
    return str(tmp_path / "w.safetensors")


def plan_for(algorithm: str, start: str, **training: object) -> Plan:
    return Plan(Path("run"), 3, algorithm, Path("snapshot"), 7, start, training=training)


@pytest.mark.parametrize(("frames", "steps"), [(0, 80), (30, 80), (100, 200), (1000, 400)])
def test_steps_grow_with_the_frames_within_bounds(frames: int, steps: int) -> None:
    assert Effort(2.0, 80, 400).steps(frames) == steps


@pytest.mark.parametrize("tuned", [True, False], ids=["tune", "begin"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_recipe_is_accepted_by_its_training(algorithm: str, tuned: bool, tmp_path: Path) -> None:
    plan = plan_for(algorithm, start_of(algorithm, tmp_path) if tuned else "")
    sizes = [settings_for(plan, Data(3, 1, train_frames=frames), ["held"]) for frames in (10, 10_000)]
    for settings in sizes:
        config = import_module(f"backends.{algorithm}.recipe").config_from(settings)
        assert config.seed == 7
        assert settings == json.loads(json.dumps(settings))
    few, many = (steps_of(settings, algorithm, tuned=tuned) for settings in sizes)
    efforts = (TUNE if tuned else BEGIN)[algorithm].values()
    assert (few, many) == (sum(e.least for e in efforts), sum(e.most for e in efforts))
    assert many <= (1000 if tuned else 4000), "a person waits for it"


def test_the_network_is_that_of_the_version_and_held_out_clips_are_kept_back(tmp_path: Path) -> None:
    from backends.training.files import read_tensors

    start = start_of("video_object", tmp_path)
    found = settings_for(plan_for("video_object", start), Data(3, 1, train_frames=50), ["a", "b"])
    assert found["network"] == json.loads(read_tensors(Path(start))[1]["network"])
    assert found["validation"] == ["a", "b"]


def test_the_policy_has_the_last_word(tmp_path: Path) -> None:
    plan = plan_for("video_object", "", steps=3, sample={"paste": 0.0})
    found = settings_for(plan, Data(3, 1, train_frames=50), [])
    assert (found["steps"], found["sample"]["paste"]) == (3, 0.0)
    assert found["sample"]["crop_hw"], "what is not named stays"


def test_objects_are_laid_over_objects_only() -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"c": 4}, "d": {"e": 5}}) == {
        "a": {"b": 1, "c": 4},
        "d": {"e": 5},
    }


def test_nothing_is_made_of_an_unknown_algorithm() -> None:
    with pytest.raises(KeyError):
        settings_for(plan_for("clicks", ""), Data(1, 1), [])


@pytest.mark.parametrize("kind", ["objects", "scenes", "photos"])
def test_a_snapshot_says_how_much_trains_and_judges(kind: str, tmp_path: Path) -> None:
    data = data_of(getattr(loop_snapshots, kind)(tmp_path))
    expected = {
        "objects": Data(3, 1, 3, 1, 24, 8),
        "scenes": Data(3, 1, 3, 1, 9, 3),
        "photos": Data(8, 2, train_frames=8, held_out_frames=2, unit="photo"),
    }
    assert data == expected[kind]


def test_a_snapshot_of_another_kind_is_refused(tmp_path: Path) -> None:
    from pipelines.export.snapshot import SnapshotWriter

    with SnapshotWriter(tmp_path) as writer, pytest.raises(BadInput, match="kind 'sounds'"):
        data_of(writer.finish({"kind": "sounds", "clips": {}}))


def test_a_plan_survives_its_folder(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "r", 3, "weak_shot", tmp_path / "s", 1, "w", "v", training={"steps": 1})
    plan.write()
    assert Plan.read(tmp_path / "r") == plan
    with pytest.raises(BadInput, match="no plan"):
        Plan.read(tmp_path)
