"""Cycles with real trainings in their child process, tiny ones: all algorithms, and what can end them."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from backends.core.errors import Cancelled
from backends.loop.folder import ProjectFolder
from backends.loop.policy import Policy
from backends.registry import Registry
from backends.settings import Settings
from backends.video_semantic.networks import NetworkConfig, build
from backends.video_semantic.weights_file import load_weights, save_weights
from pipelines.export.snapshot import Snapshot
from pipelines.loop import work
from pipelines.loop.cycle import Outcome, Wishes, improve
from pipelines.loop.record import scores_of
from pipelines.loop.train_project import train_project
from pipelines.loop.work import Failed
from pipelines.train import DOWNLOAD
from pipelines.weak_shot_project.run import Wishes as TrainWishes
from tests import loop_snapshots

SCENES = (
    *("training.steps=18", "training.batch=2", "training.checkpoint_every=2", "training.average=0.5"),
    *("training.learning_rate=0.004", "training.trunk_rate=0.004", "training.amp=false"),
    *("training.sample.crop_hw=[64, 96]", "training.sample.scale=[0.9, 1.2]"),
)
OBJECTS = ("training.steps=2", "training.batch=1", "training.sample.crop_hw=[192, 192]")
BUDGET = json.dumps({"steps": 3, "batch": 2, "warm_up": 1, "view": {"side_px": 48}})
PHOTOS = (
    *(f"training.classifier={BUDGET}", f"training.segmentation={BUDGET}", "training.amp=false"),
    *('training.responses={"scales": [1.0], "flip": false}', "training.long_side_px=64"),
)

Report = Callable[[int, int, str], None]


@dataclass
class House:
    """An installation whose project hands out drawn snapshots."""

    home: Path
    draw: Callable[[Path], Snapshot]
    policy: Policy
    seen: list[tuple[int, int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = Settings(
            data_dir=self.home, models_dir=self.home / "models", engine="torch", threads=1
        )
        self.registry = Registry(self.settings.models_dir)
        self.folder = ProjectFolder(self.home.resolve(), 3)

    def take(self, *args: object, **how: object) -> Snapshot:
        return self.draw(self.home / "snapshots")

    def improve(self, act: Report = lambda done, total, stage: None, **wishes: Any) -> Outcome:
        def report(done: int, total: int, stage: str) -> None:
            self.seen.append((done, total, stage))
            act(done, total, stage)

        wanted = Wishes(policy=self.policy, **wishes)
        return improve(3, self.settings, wanted, report=report, say=lambda line: None, take=self.take)

    def now(self, algorithm: str) -> str:
        return self.registry.served(algorithm, project=3).version


def house(home: Path, draw: Callable[[Path], Snapshot], settings: tuple[str, ...]) -> House:
    policy = Policy(promote="auto", benchmark="none", enough_train=1, max_class_loss=20.0)
    return House(home, draw, policy.changed(settings))


@pytest.fixture
def street(tmp_path: Path) -> House:
    """Whole scenes, answered by a network of random numbers that knows two of the three classes."""
    made = house(tmp_path, loop_snapshots.scenes, SCENES)
    torch.manual_seed(0)
    config, weights = NetworkConfig(classes=2), tmp_path / "first.safetensors"
    save_weights(build(config).state_dict(), config, ("road", "sky"), weights)
    made.registry.promote("video_semantic", made.registry.add("video_semantic", weights).version)
    return made


def steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_what_learned_is_served_and_what_was_spoilt_is_refused(street: House) -> None:
    first = street.now("video_semantic")
    learned = street.improve().cycle
    candidate, served = scores_of(learned.run)
    assert learned.outcome == "promoted" and street.now("video_semantic") == learned.candidate != first
    assert candidate.overall > served.overall + 10
    assert served.version == first and served.unknown == ("car",) and served.per_class["car"].value == 0
    assert load_weights(street.registry.served("video_semantic", project=3).weights).classes[2] == "car"
    assert {stage for _, _, stage in street.seen} >= {"reading the project", "training"}
    assert max(total for _, total, stage in street.seen if stage == "training") == 18

    street.policy = street.policy.changed(["training.learning_rate=1.0", "training.trunk_rate=1.0", "seed=1"])
    spoilt = street.improve().cycle
    assert spoilt.outcome == "refused" and street.now("video_semantic") == learned.candidate
    assert any("a loss of" in reason or "nonsense" in reason for reason in spoilt.against)
    street.registry.roll_back("video_semantic", project=3)
    assert street.now("video_semantic") == first


def limited(patch: pytest.MonkeyPatch, how: str) -> None:
    """Trainings get what the shell's ``ulimit`` leaves them."""
    plain, prefix = work.python_argv, ("bash", "-c", f'ulimit {how}; exec "$@"', "bash")
    patch.setattr(work, "python_argv", lambda *words: (*prefix, *plain(*words)))


def test_a_training_without_the_memory_for_it_is_told_what_helps(
    street: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = street.now("video_semantic")
    street.policy = street.policy.changed(["training.batch=4000"])
    limited(monkeypatch, "-v 4000000")  # 4 GB of addresses, of which the libraries take half
    with pytest.raises(Failed, match=r"^out of memory while training, 0 of 18 done .*training\.batch=1`$"):
        street.improve()
    [broken] = street.folder.cycles()
    assert (broken.outcome, street.now("video_semantic")) == ("failed", first)
    street.policy = street.policy.changed(["training.batch=1", "training.steps=1"])
    assert street.improve().cycle.name.startswith("0002-"), "other settings begin another run"
    assert street.folder.cycles()[0].candidate


def trainings() -> list[psutil.Process]:
    """The processes that train for this one; a Label Studio of other tests is a child as well."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE and "pipelines.loop.child" in child.cmdline():
                found.append(child)
    return found


def test_a_full_disk_a_kill_and_a_cancel_are_told_and_the_training_ends_all_the_same(
    street: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = street.now("video_semantic")
    with monkeypatch.context() as small:
        limited(small, "-f 2000")  # files of 2 MB at most
        with pytest.raises(Failed, match=r"the disk is full or refuses .* the served version is untouched"):
            street.improve()

    def killing(done: int, total: int, stage: str) -> None:
        if stage == "training" and done >= 5:
            for child in trainings():
                child.send_signal(signal.SIGKILL)

    with pytest.raises(Failed, match=r"killed \(SIGKILL\) while training, \d+ of 18 done"):
        street.improve(killing)

    def cancelling(done: int, total: int, stage: str) -> None:
        if stage == "training" and done >= 9:
            raise Cancelled("a person pressed Cancel")

    with pytest.raises(Cancelled):
        street.improve(cancelling)
    [cycle] = street.folder.cycles()
    assert (cycle.outcome, street.now("video_semantic")) == ("cancelled", first)
    assert (cycle.run / "checkpoint.safetensors").is_file()
    assert not trainings(), "nothing of it is left running"
    assert street.improve().cycle.outcome == "promoted"
    assert not (cycle.run / "checkpoint.safetensors").exists(), "done with"
    assert [c.name for c in street.folder.cycles()] == [cycle.name] and steps(cycle.run) == list(range(1, 19))


def test_a_loss_that_is_no_number_is_refused_in_words(street: House) -> None:
    street.policy = street.policy.changed(["training.learning_rate=1e30", "training.trunk_rate=1e30"])
    cycle = street.improve().cycle
    assert cycle.outcome == "refused"
    assert cycle.against[0].startswith("the training turned into nonsense: loss is")
    assert not street.improve().is_new


@pytest.mark.parametrize(
    ("algorithm", "draw", "settings", "metric"),
    [
        ("video_object", loop_snapshots.objects, OBJECTS, "j_and_f"),
        ("weak_shot", loop_snapshots.photos, PHOTOS, "c"),
    ],
)
def test_the_shipped_versions_learn_on_too(
    tmp_path: Path, algorithm: str, draw: Callable[[Path], Snapshot], settings: tuple[str, ...], metric: str
) -> None:
    made = house(tmp_path, draw, settings)
    shipped = made.now(algorithm)
    cycle = made.improve().cycle
    candidate, served = scores_of(cycle.run)
    assert cycle.outcome in {"promoted", "refused"} and cycle.candidate != shipped == cycle.served
    assert (candidate.metric, served.version, candidate.version) == (metric, shipped, cycle.candidate)
    assert 0 <= candidate.overall <= 100 and candidate.per_class.keys() == served.per_class.keys()
    assert any(version.name == cycle.candidate for version in made.registry.versions(algorithm))
    assert (cycle.run / "examples" / "examples.json").is_file()
    if algorithm == "video_object":
        from backends.training.files import read_tensors

        weights = made.registry.find(algorithm, cycle.candidate).weights
        assert "confidence" in read_tensors(weights)[1], "masks are trusted as before"


def test_a_project_can_be_trained_on_without_being_judged(street: House) -> None:
    """``maskloop train video_semantic --project``"""
    first = street.now("video_semantic")
    overrides = [words.removeprefix("training.") for words in SCENES]
    overrides[0] = "steps=2"
    wishes, said = TrainWishes(overrides=overrides), list[str]()
    kind: Callable[..., str] = lambda *args: "video_semantic"  # noqa: E731
    how: dict[str, Any] = {"say": said.append, "take": street.take, "kind": kind}
    outcome = train_project("video_semantic", 3, street.settings, wishes, **how)
    assert load_weights(outcome.weights).classes == ("sky", "road", "car")
    assert said == [f"starting from {first}"] and street.now("video_semantic") == first, (
        "not served by itself"
    )
    card = next(v for v in street.registry.versions("video_semantic") if v.name == outcome.version).card
    assert (card["project"], card["started_from"]) == (3, first)

    def stopped(*args: object, trunk: Path | None, start_from: Path | None, **how: object) -> Path:
        assert (str(trunk), start_from) == (DOWNLOAD, None)
        raise KeyboardInterrupt

    other = TrainWishes(overrides=overrides, trunk=Path(DOWNLOAD), fresh=True)
    with pytest.raises(KeyboardInterrupt):
        train_project("video_semantic", 3, street.settings, other, trainer=stopped, **how)
