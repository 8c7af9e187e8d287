"""What a candidate is trained with, and what becomes of it in the registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backends.core.errors import BadInput
from backends.registry import Registry
from pipelines.export.snapshot import Snapshot
from pipelines.loop.candidate import RANGES, register, train_candidate
from pipelines.loop.child import kind_of
from pipelines.loop.plan import Plan
from tests import loop_snapshots


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    return loop_snapshots.scenes(tmp_path / "snapshots", clips=3, frames=2)


@pytest.fixture
def plan(tmp_path: Path, snapshot: Snapshot) -> Plan:
    return Plan(tmp_path / "run", 3, "video_semantic", snapshot.folder, trunk="download")


def test_the_training_gets_snapshot_run_and_recipe_and_gets_the_same_again(
    plan: Plan, snapshot: Snapshot
) -> None:
    asked: list[dict[str, Any]] = []

    def trainer(algorithm: str, **how: Any) -> Path:
        asked.append({"algorithm": algorithm, **how, "recipe": json.loads(how["config"].read_text())})
        return plan.run / "weights.safetensors"

    train_candidate(plan, snapshot, trainer=trainer)
    train_candidate(plan, snapshot, trainer=trainer)
    assert asked[0] == asked[1]
    assert (asked[0]["data"], asked[0]["out"], asked[0]["tune"]) == (snapshot.folder, plan.run, True)
    assert (str(asked[0]["trunk"]), asked[0]["start_from"]) == ("download", None)
    assert asked[0]["recipe"]["steps"] == 400


def test_a_version_to_start_from_goes_before_a_trunk(plan: Plan, snapshot: Snapshot, tmp_path: Path) -> None:
    (plan.run).mkdir()
    (plan.run / "recipe.json").write_text("{}")
    begun = Plan(plan.run, 3, plan.algorithm, snapshot.folder, 0, str(tmp_path / "w"), trunk="download")

    def trainer(algorithm: str, *, trunk: Path | None, start_from: Path | None, **how: Any) -> Path:
        assert (trunk, start_from) == (None, tmp_path / "w")
        return tmp_path / "out"

    assert train_candidate(begun, snapshot, trainer=trainer) == tmp_path / "out"


def test_nonsense_is_told_from_other_bad_input(plan: Plan, snapshot: Snapshot) -> None:
    def nonsense(*args: object, **how: object) -> Path:
        raise BadInput("classifier: loss is nan") from FloatingPointError("loss is nan")

    with pytest.raises(FloatingPointError, match="classifier: loss is nan"):
        train_candidate(plan, snapshot, trainer=nonsense)

    def bad(*args: object, **how: object) -> Path:
        raise BadInput("unknown training setting")

    with pytest.raises(BadInput, match="unknown training setting"):
        train_candidate(plan, snapshot, trainer=bad)


def test_a_version_has_a_card_and_keeps_the_ranges_of_eight_bits(plan: Plan, tmp_path: Path) -> None:
    plan.run.mkdir()
    weights = plan.run / "weights.safetensors"
    weights.write_bytes(b"w")
    (plan.run / "card.json").write_text('{"seconds": 3}')
    registry = Registry(tmp_path / "models")
    bare = register(
        registry, plan, weights, digest="abc", started_from="", more={"decision": {"accepted": True}}
    )
    assert not bare.weights.with_name(RANGES).exists()
    (plan.run / RANGES).write_text("{}")
    made = register(registry, plan, weights, digest="abc", started_from="")
    assert made == bare and made.weights.with_name(RANGES).read_text() == "{}"
    [version] = [one for one in registry.versions("video_semantic") if not one.is_shipped]
    assert version.card["started_from"] == "an ImageNet trunk" and version.card["training"] == {"seconds": 3}
    assert version.card["decision"]["accepted"] and version.card["snapshot"] == "abc"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FloatingPointError("loss is nan"), "nonsense"),
        (MemoryError(), "memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), "memory"),
        (OSError(28, "No space left on device"), "disk"),
        (OSError(27, "File too large"), "disk"),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), "disk"),
        (OSError(13, "Permission denied"), "fault"),
        (BadInput("unknown setting"), "input"),
        (ValueError("a bug"), "fault"),
    ],
)
def test_what_went_wrong_is_told_by_kind(error: BaseException, kind: str) -> None:
    assert kind_of(error) == kind
