"""What the console's buttons do to a project's loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.core.errors import BadInput, LabelStudioDown
from backends.loop.files import write_json
from backends.loop.policy import Policy
from backends.loop.steering import Steering
from backends.registry import Registry
from tests.unit.loop.loop_world import PROJECT, World


class House:
    """A world with two versions in its registry, the first of which answers everywhere."""

    def __init__(self, folder: Path) -> None:
        self.world = World(Policy(), folder)
        self.registry = Registry(folder / "models")
        self.looked_at: list[int] = []
        self.first, self.second = (self.add(name) for name in ("first", "second"))
        self.registry.promote("video_object", self.first)
        self.opened: list[tuple[int, str]] = []
        self.steering = Steering(
            folder, self.registry, self.world.triggers, self.looked_at.append, self.open_with
        )

    def open_with(self, project: int, version: str) -> str:
        self.opened.append((project, version))
        return "label Studio is away" if len(self.opened) > 1 else ""

    def add(self, name: str) -> str:
        weights = self.world.data_dir / f"{name}.safetensors"
        weights.write_bytes(name.encode())
        return self.registry.add("video_object", weights).version

    def decided(self, run: str, outcome: str, **more: Any) -> None:
        cycle = {
            "algorithm": "video_object",
            "outcome": outcome,
            "candidate": self.second,
            "served": self.first,
        }
        write_json(self.world.folder.runs / run / "cycle.json", cycle | more)

    def served(self, project: int = PROJECT) -> str:
        return self.registry.served("video_object", project).version


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.world.close()


def test_improve_is_one_job_however_often_it_is_pressed(house: House) -> None:
    assert house.steering.improve(PROJECT).startswith("Queued")
    assert house.steering.improve(PROJECT).startswith("Queued")
    (row,) = house.world.ledger.jobs()
    assert row.payload == {"algorithm": "video_object", "reason": "asked for on the console"}
    house.world.ledger.start(row.id, 0, "w")
    house.world.ledger.put_progress(row.id, 0, 3, 8, "training")
    assert house.steering.improve(PROJECT) == "It is being trained already: step 3 of 8."


def test_a_waiting_version_is_served_on_a_persons_word_and_to_this_project_only(house: House) -> None:
    house.decided("0001-aa", "waiting")
    said = house.steering.promote(PROJECT, "0001-aa")
    assert said == f"{house.second} is served to this project from the next request on."
    assert (house.served(), house.served(9)) == (house.second, house.first)
    assert house.world.folder.cycle("0001-aa").outcome == "promoted"
    with pytest.raises(BadInput, match="waits for nobody: it is promoted"):
        house.steering.promote(PROJECT, "0001-aa")
    assert house.steering.roll_back(PROJECT) == (
        f"{house.first} is served again to this project (before: {house.second}). Label Studio is away."
    )
    assert house.served() == house.first
    assert house.opened == [(PROJECT, house.second), (PROJECT, house.first)]


def test_it_is_said_when_another_version_answers_than_the_one_compared_with(house: House) -> None:
    house.decided("0001-aa", "waiting")
    third = house.add("third")
    house.registry.promote("video_object", third, PROJECT)
    said = house.steering.promote(PROJECT, "0001-aa")
    assert f"It was compared with {house.first}, but {third} answered until now." in said


def test_a_declined_version_is_not_served(house: House) -> None:
    house.decided("0001-aa", "waiting")
    assert "is not served" in house.steering.decline(PROJECT, "0001-aa")
    assert house.served() == house.first and house.world.folder.waiting() is None


@pytest.mark.parametrize("run", ["0001-aa", "0002-bb", "0009-zz", "../x", ""])
def test_only_the_version_that_waits_now_can_be_answered(house: House, run: str) -> None:
    house.decided("0001-aa", "waiting")
    house.decided("0002-bb", "refused")
    for answer in (house.steering.promote, house.steering.decline):
        with pytest.raises(BadInput):
            answer(PROJECT, run)
    assert house.served() == house.first


def test_a_torn_candidate_is_not_served(house: House) -> None:
    house.decided("0001-aa", "waiting")
    (house.registry.models_dir / "video_object" / house.second / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(BadInput, match="not what its name says"):
        house.steering.promote(PROJECT, "0001-aa")
    assert house.served() == house.first and house.world.folder.waiting() is not None


def test_a_served_version_that_is_gone_can_be_replaced(house: House) -> None:
    house.decided("0001-aa", "waiting")
    third = house.add("third")
    house.registry.promote("video_object", third, PROJECT)
    (house.registry.models_dir / "video_object" / third / "weights.safetensors").unlink()
    assert house.steering.promote(PROJECT, "0001-aa").endswith("from the next request on.")
    assert house.served() == house.second


def test_nothing_to_go_back_to_is_said(house: House) -> None:
    with pytest.raises(BadInput, match="project 3 has no version of its own"):
        house.steering.roll_back(PROJECT)


def test_going_back_does_not_wait_for_label_studio(house: House) -> None:
    house.decided("0001-aa", "waiting")
    house.steering.promote(PROJECT, "0001-aa")

    def down(project_id: int) -> dict[str, Any]:
        raise LabelStudioDown("Label Studio does not answer")

    house.world.books.project = down  # type: ignore[method-assign]
    assert house.first in house.steering.roll_back(PROJECT)
    with pytest.raises(LabelStudioDown):
        house.steering.roll_back(9)


def test_the_form_sets_the_policy_and_has_the_project_looked_at(house: House) -> None:
    said = house.steering.set_policy(
        PROJECT, {"after_tasks": 3, "max_benchmark_loss": None, "promote": "auto"}
    )
    assert said == "Saved. Begins by itself after every 3 tasks."
    policy = house.world.folder.policy()
    assert (policy.after_tasks, policy.promote, policy.max_benchmark_loss) == (3, "auto", None)
    assert house.looked_at == [PROJECT]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"trunk": "download"}, "'trunk' cannot be changed here"),
        ({"benchmark": "/etc"}, "'benchmark' cannot be changed here"),
        ({"training": {"batch": 1}}, "'training' cannot be changed here"),
        ({"training.batch": 1}, "'training.batch' cannot be changed here"),
        ({"after_tasks": "many"}, "after_tasks='many'; wants a whole number"),
        ({"min_gain": None}, "min_gain=None; wants a number"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused_whole(
    house: House, values: dict[str, Any], words: str
) -> None:
    before = house.world.folder.policy()
    with pytest.raises(BadInput, match=words):
        house.steering.set_policy(PROJECT, {"enough_train": 9, **values})
    assert house.world.folder.policy() == before and house.looked_at == []


def test_saving_replaces_a_spoilt_policy(house: House) -> None:
    house.world.folder.policy_path.write_text("{")
    house.steering.set_policy(PROJECT, {"after_tasks": 2})
    assert house.world.folder.policy() == Policy(after_tasks=2)
