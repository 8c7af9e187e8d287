"""Cycles of a project with the training stood in for: decisions, promotion, going on, ways to fail."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from backends import registry
from backends.core.errors import BadInput, Cancelled, SetupFault, Unavailable
from backends.loop.folder import Cycle, ProjectFolder
from backends.loop.policy import Policy
from backends.registry import Registry, version_of
from backends.settings import Settings
from pipelines.export.snapshot import Snapshot
from pipelines.loop import cycle
from pipelines.loop.cycle import Outcome, Wishes, improve, in_a_sentence
from pipelines.loop.look import look
from pipelines.loop.plan import Plan, data_of
from pipelines.loop.record import WEIGHTS, scores_of, write_scores
from pipelines.loop.scores import Figure, Scores
from pipelines.loop.work import Failed, Nonsense, Report
from tests import loop_snapshots

PROJECT = 3
OTHER = 4


@dataclass
class World:
    """An installation with one project; its training writes a file and says what it is worth."""

    home: Path
    candidate: dict[str, float] = field(default_factory=lambda: {"sky": 80.0, "road": 70.0})
    served: dict[str, float] = field(default_factory=lambda: {"sky": 75.0, "road": 70.0})
    policy: Policy = field(default_factory=lambda: Policy(promote="auto"))
    clips: int = 4
    trouble: Callable[[Plan], None] = lambda plan: None
    trained: int = 0
    taken: int = 0
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = Settings(data_dir=self.home, models_dir=self.home / "models")
        self.registry = Registry(self.settings.models_dir)
        self.folder = ProjectFolder(self.home.resolve(), PROJECT)
        self.add("first")
        self.registry.promote("video_semantic", self.add("first"))

    def add(self, text: str) -> str:
        weights = self.home / f"{text}.safetensors"
        weights.write_bytes(text.encode())
        return self.registry.add("video_semantic", weights).version

    def take(self, project_id: int, settings: Settings, **how: Any) -> Snapshot:
        self.taken += 1
        return loop_snapshots.scenes(self.home / "snapshots", clips=self.clips, frames=2)

    def work(self, plan: Plan, settings: Settings, report: Report) -> None:
        """Train (once per run), then score."""
        weights = plan.run / WEIGHTS
        if not weights.is_file():
            self.trained += 1
            report(1, 2, "training")
            self.trouble(plan)
            weights.write_bytes(f"trained in {plan.run.name}".encode())
        self.trouble(plan)
        data = data_of(loop_snapshots.scenes(self.home / "snapshots", clips=self.clips, frames=2))

        def scored(path: Path, figures: dict[str, float]) -> Scores:
            overall = sum(figures.values()) / len(figures)
            found = {name: Figure(value, 2) for name, value in figures.items()}
            return Scores(version_of("video_semantic", path), "miou", overall, found, data)

        write_scores(plan.run, scored(weights, self.candidate), scored(Path(plan.served), self.served))

    def improve(self, **wishes: Any) -> Outcome:
        wanted = Wishes(policy=self.policy, **wishes)
        report: Report = lambda done, total, stage: None  # noqa: E731
        return improve(
            PROJECT,
            self.settings,
            wanted,
            report=report,
            say=self.said.append,
            take=self.take,
            work=self.work,
        )

    def now(self, project: int = PROJECT) -> str:
        return self.registry.served("video_semantic", project=project).version

    def last(self) -> Cycle:
        return self.folder.cycles()[0]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_better_candidate_is_served_to_its_project_alone_and_roll_back_restores(world: World) -> None:
    before = world.now()
    outcome = world.improve(why="5 tasks")
    cycle_ = outcome.cycle
    assert (cycle_.outcome, cycle_.why, cycle_.served) == ("promoted", "5 tasks", before)
    assert cycle_.accepted and world.now() == cycle_.candidate != before
    assert world.now(OTHER) == before
    assert "is served to project 3 from the next request on" in in_a_sentence(outcome)
    card = json.loads(
        (world.settings.models_dir / "video_semantic" / cycle_.candidate / "card.json").read_text()
    )
    assert (card["project"], card["snapshot"], card["started_from"]) == (3, cycle_.snapshot, before)
    assert card["decision"]["accepted"] and card["code"] and card["run"] == str(cycle_.run)
    world.registry.roll_back("video_semantic", project=PROJECT)
    assert world.now() == before


def test_a_spoilt_candidate_is_refused_with_reasons_and_kept(world: World) -> None:
    before = world.now()
    world.candidate = {"sky": 20.0, "road": 70.0}
    outcome = world.improve()
    assert outcome.cycle.outcome == "refused" and world.now() == before
    assert any("class 'sky' loses 55.00 points" in reason for reason in outcome.cycle.against)
    assert in_a_sentence(outcome).startswith(
        "no new version is served: mean IoU over all held-out clips goes"
    )
    names = [version.name for version in world.registry.versions("video_semantic")]
    assert outcome.cycle.candidate in names, "a person may promote it all the same"


def test_with_ask_a_person_has_the_last_word(world: World) -> None:
    before = world.now()
    world.policy = Policy(promote="ask")
    outcome = world.improve()
    waiting = world.folder.waiting()
    assert waiting is not None and waiting.candidate == outcome.cycle.candidate and world.now() == before
    words = in_a_sentence(outcome)
    assert f"maskloop promote video_semantic {waiting.candidate} --project 3" in words
    world.registry.promote("video_semantic", waiting.candidate, project=PROJECT)
    assert world.folder.answer(waiting.name, "promoted").outcome == "promoted"


def test_without_new_work_nothing_is_done_and_it_is_said(world: World) -> None:
    first = world.improve()
    again = world.improve()
    assert not again.is_new and again.cycle == first.cycle and world.trained == 1
    assert f"nothing new since run {first.cycle.name}" in in_a_sentence(again)
    assert world.improve(fresh=True).is_new and world.trained == 2
    world.clips = 5
    third = world.improve()
    assert third.is_new and third.cycle.served == world.folder.cycle("0002-" + first.cycle.name[5:]).candidate


def test_other_settings_train_the_same_snapshot_again(world: World) -> None:
    world.improve()
    for policy in (replace(world.policy, seed=1), replace(world.policy, training={"steps": 9})):
        world.policy = policy
        assert world.improve().is_new
    world.policy = replace(world.policy, min_gain=99.0)
    assert not world.improve().is_new, "a decision is not taken again"


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (Policy(enough_train=9), "to train on: 3 clips of 3 videos; the policy wants 9"),
        (
            Policy(enough_held_out=2),
            "to judge by: 1 held-out clip of 1 video (2 labelled frames); the policy",
        ),
    ],
)
def test_too_little_is_refused_before_anything_is_trained(world: World, policy: Policy, said: str) -> None:
    world.policy = policy
    outcome = world.improve()
    assert outcome.cycle.outcome == "refused" and world.trained == 0 and not outcome.cycle.candidate
    assert said in outcome.cycle.against[0]
    assert not world.improve().is_new
    world.policy = Policy(promote="auto")
    assert world.improve().cycle.outcome == "promoted", "the policy was what stood against it"


def test_a_loss_that_is_no_number_is_a_refusal_and_not_tried_again(world: World) -> None:
    before = world.now()

    def nonsense(plan: Plan) -> None:
        raise Nonsense("the training turned into nonsense: loss is nan at step 12")

    world.trouble = nonsense
    outcome = world.improve()
    assert (outcome.cycle.outcome, outcome.cycle.candidate) == ("refused", "")
    assert outcome.cycle.against == ("the training turned into nonsense: loss is nan at step 12",)
    assert world.now() == before and not world.improve().is_new
    world.trouble, world.policy = (lambda plan: None), replace(world.policy, seed=1)
    assert world.improve().cycle.outcome == "promoted"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Failed("out of memory while training, 31 of 120 done"), "failed"),
        (OSError(28, "No space left on device", "weights.safetensors"), "failed"),
        (Cancelled("cancelled"), "cancelled"),
        (KeyboardInterrupt(), "cancelled"),
    ],
)
def test_what_ends_a_cycle_is_remembered_and_the_next_call_goes_on_with_its_snapshot(
    world: World, error: BaseException, outcome: str
) -> None:
    before = world.now()

    def fail(plan: Plan) -> None:
        raise error

    world.trouble = fail
    with pytest.raises((Failed, Cancelled, KeyboardInterrupt)):
        world.improve()
    broken = world.last()
    assert (broken.outcome, broken.stage, world.now()) == (outcome, "train", before)
    assert broken.error and "None" not in broken.error
    world.trouble, world.clips = (lambda plan: None), 7  # people labelled on, or tasks were deleted
    done = world.improve()
    assert done.cycle.name == broken.name and done.cycle.outcome == "promoted" and done.cycle.error == ""
    assert done.cycle.snapshot == broken.snapshot and world.taken == 1
    assert any("going on with run 0001" in line for line in world.said)


def test_an_unfinished_cycle_with_other_settings_is_left_alone(world: World) -> None:
    def fail(plan: Plan) -> None:
        raise Failed("out of memory")

    world.trouble = fail
    with pytest.raises(Failed):
        world.improve()
    world.trouble = lambda plan: None
    world.policy = world.policy.changed(["training.batch=1"])
    assert world.improve().cycle.name.startswith("0002-")
    assert any("0001" in line and "left unfinished" in line for line in world.said)


def test_a_cycle_that_died_between_scores_and_promotion_ends_without_training_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*args: object, **how: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cycle, "register", dies)
    with pytest.raises(KeyboardInterrupt):
        world.improve()
    monkeypatch.undo()
    assert world.improve().cycle.outcome == "promoted" and world.trained == 1


def test_a_snapshot_that_was_edited_meanwhile_is_refused_by_its_digest(world: World) -> None:
    def fail(plan: Plan) -> None:
        raise Failed("killed")

    world.trouble = fail
    with pytest.raises(Failed):
        world.improve()
    mask = next((world.home / "snapshots").glob("*/masks/*/*.png"))
    mask.chmod(0o644)
    mask.write_bytes(b"edited")
    with pytest.raises(BadInput, match="was changed"):
        world.improve()
    assert world.last().outcome == "refused" and "was changed" in world.last().against[0]
    world.trouble, world.clips = (lambda plan: None), 5
    assert world.improve().cycle.outcome == "promoted", "it does not stand in the way of new work"


def test_a_version_promoted_meanwhile_is_what_the_candidate_is_compared_with(world: World) -> None:
    newer = world.add("newer")

    def promote(plan: Plan) -> None:
        world.registry.promote("video_semantic", newer, project=PROJECT)
        if version_of("video_semantic", Path(plan.served)) == newer:
            world.served = {"sky": 99.0, "road": 99.0}

    world.trouble = promote
    outcome = world.improve()
    assert scores_of(outcome.cycle.run)[1].version == newer and world.trained == 1
    assert (outcome.cycle.outcome, outcome.cycle.served, world.now()) == ("refused", newer, newer)


def test_one_cycle_of_a_project_at_a_time(world: World) -> None:
    with world.folder.alone(), pytest.raises(Unavailable, match="being trained"):
        world.improve()
    assert world.improve().cycle.outcome == "promoted"


def test_without_a_version_a_trunk_is_asked_for_before_anything_is_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(world.settings.models_dir)
    monkeypatch.setattr(registry, "_SHIPPED", world.home / "nothing")
    with pytest.raises(SetupFault, match=r"maskloop policy --project 3 --set trunk=download"):
        world.improve()
    assert world.folder.cycles() == []


@pytest.mark.parametrize("name", ["benchmark", "trunk"])
def test_a_folder_of_the_policy_that_is_not_there_is_refused_by_name(world: World, name: str) -> None:
    world.policy = replace(world.policy, **{name: "nowhere/at/all"})
    with pytest.raises(BadInput, match=f"policy {name}='nowhere/at/all'"):
        world.improve()
    assert world.folder.cycles() == []


def test_a_full_disk_is_told_before_the_training(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cycle, "LEAST_FREE", 10**18)
    with pytest.raises(Failed, match="MB are free, a training wants"):
        world.improve()
    assert world.trained == 0


def test_a_look_trains_nothing_and_says_what_would_happen(world: World) -> None:
    def told(**how: Any) -> str:
        policy = replace(world.policy, **how)
        return " | ".join(look(PROJECT, world.settings, policy, say=world.said.append, take=world.take))

    with pytest.raises(BadInput, match="no safetensors file"):
        told()  # the stand-in's weights are no weights: the recipe reads their network
    assert "would train nothing: to train on" in told(enough_train=50)
    world.improve()
    assert "nothing is new since run 0001" in told()
    assert world.trained == 1 and len(world.folder.cycles()) == 1
