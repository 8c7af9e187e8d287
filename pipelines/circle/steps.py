"""The circle itself, step by step, each of which says what it saw or raises WentWrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from backends.labelstudio.client import LabelStudioClient
from backends.labelstudio.label_config import LabelConfig
from backends.ledger import Ledger
from backends.loop.folder import Cycle, ProjectFolder
from backends.loop.policy import Policy
from backends.queues import IMPROVE
from backends.registry import Registry
from backends.settings import Settings
from pipelines.circle import spoiling, videos
from pipelines.circle.annotator import Annotator, Console, Truth, WentWrong
from pipelines.ingest import ingest
from pipelines.services import installation
from pipelines.services.provision import provision
from pipelines.up import backend_url

VIDEO = "video_object"
TEACHES: Mapping[str, Any] = {
    "steps": 16,
    "batch": 1,
    "learning_rate": 0.001,
    "average": 0.5,
    "warm_up": 2,
    "checkpoint_every": 8,
    "sample": {"crop_hw": list(videos.SIZE_HW)},
}
RUINS: Mapping[str, Any] = {**TEACHES, "steps": 6, "learning_rate": 0.05, "trunk_rate": 0.05}
"""A rate at which every step throws away what the one before it learned."""

Say = Callable[[str], None]


@dataclass
class Circle:
    """One MaskLoop that is up, with nothing of value in its folder."""

    settings: Settings
    say: Say
    figures: dict[str, Any] = field(default_factory=dict)
    """What was measured, as JSON values."""

    def __post_init__(self) -> None:
        self._client = LabelStudioClient(
            self.settings.label_studio_url, self.settings.label_studio_token, timeout_s=60.0
        )
        self._registry = Registry(self.settings.models_dir)
        self._ledger = Ledger(self.settings.ledger_path)

    def go(self) -> None:
        """All of it. Raises WentWrong, and any other MaskLoopError when something is away."""
        try:
            self._go()
        finally:
            self._ledger.close()

    def _go(self) -> None:
        self._step("weak weights are served", self._serve_weak_weights)
        self._step("small videos become tasks", self._import)
        self._step("clips are propagated, corrected and submitted", self._label)
        self._step("a training makes a better version", self._improve)
        self._step("the next prediction carries it", self._predict_with_it)
        self._step("a spoilt training is refused", self._spoil)
        self._step("going back restores the old version", self._go_back)

    def _step(self, what: str, do: Callable[[], str]) -> None:
        self.say(f"{what} …")
        begun = time.monotonic()
        try:
            seen = do()
        except WentWrong as error:
            raise WentWrong(f"{what}: {error}") from error
        self.say(f"    {seen} ({time.monotonic() - begun:.0f} s)")
        self.figures.setdefault("seconds", {})[what] = round(time.monotonic() - begun, 1)

    def _serve_weak_weights(self) -> str:
        """The shipped network would leave nothing to correct in such videos, so a shaken copy is served."""
        out = self.settings.data_dir / "weak.safetensors"
        weights = spoiling.shaken(self._registry.shipped(VIDEO).weights, out)
        card = {"origin": "the shipped weights, shaken on purpose by loop-check"}
        self._weak = self._registry.add(VIDEO, weights, card).version
        self._registry.promote(VIDEO, self._weak)
        return f"{self._weak}, the shipped weights shaken on purpose"

    def _import(self) -> str:
        """As ``maskloop up --clip`` does it."""
        url, drawn = backend_url(self.settings), self.settings.data_dir / "drawn"
        clips = [ingest(videos.write(drawn, number), self.settings)[0] for number in range(videos.COUNT)]
        login, secret = installation.ensure_login(self.settings.data_dir), self.settings.shared_secret()
        data = [clip.task_data for clip in clips]
        ready = provision(self.settings, url, secret, login, own_clips=data)
        self._project = ready.project_id
        self._folder = ProjectFolder(self.settings.data_dir, self._project)
        task_of = {str(t["data"].get("clip")): int(t["id"]) for t in self._client.tasks(self._project)}
        self._tasks = [task_of[clip.clip_id] for clip in clips]
        xml = str(self._client.project(self._project)["label_config"])
        console = Console(url, secret)
        self._console = console
        self._annotator = Annotator(
            self._client, console, self._ledger, LabelConfig.parse(xml), videos.SIZE_HW, self.say
        )
        return f"{len(clips)} videos of {videos.N_FRAMES} frames in project {self._project}"

    def _label(self) -> str:
        corrected = []
        for number, task in enumerate(self._tasks[:-1]):  # the last one is kept for the proof
            truth = _truth(number)
            self._annotator.paint(task, truth)
            proposal = self._annotator.propagate(task)
            _must(
                proposal.version == self._weak,
                f"task {task} was predicted by {proposal.version}, not by {self._weak}",
            )
            corrected.append(self._annotator.correct(task, proposal, truth))
        _must(all(corrected), f"masks to correct per clip: {corrected}; weak weights should leave some")
        self.figures["corrected_per_clip"] = corrected
        return f"{corrected} masks corrected in {len(corrected)} clips, all submitted"

    def _improve(self) -> str:
        cycle = self._train(TEACHES)
        _must(cycle.outcome == "promoted", f"the candidate was {cycle.outcome}: {'; '.join(cycle.against)}")
        self._better = cycle.candidate
        _must(self._served() == self._better, f"{self._served()} is served, not {self._better}")
        _must(self._registry.served(VIDEO).version == self._weak, "another project's version was changed")
        return f"{self._better}: {_gain(cycle)}"

    def _predict_with_it(self) -> str:
        truth = _truth(videos.COUNT - 1)
        self._annotator.paint(self._tasks[-1], truth)
        proposal = self._annotator.propagate(self._tasks[-1])
        _must(proposal.version == self._better, f"it carries {proposal.version}, not {self._better}")
        self.figures["iou_of_new_clip"] = {"better": round(proposal.worth(truth), 3)}
        return f"{proposal.version} on a clip that nobody labelled: IoU {proposal.worth(truth):.2f}"

    def _spoil(self) -> str:
        cycle = self._train(RUINS)
        _must(cycle.outcome == "refused", f"the spoilt candidate was {cycle.outcome}")
        _must(bool(cycle.against), "no reason was given")
        _must(self._served() == self._better, f"{self._served()} is served, not {self._better}")
        return f"refused: {cycle.against[0]}"

    def _go_back(self) -> str:
        said = self._console.press(f"projects/{self._project}/roll-back")
        _must(self._served() == self._weak, f"{self._served()} is served, not {self._weak}")
        opens = self._client.project(self._project)["model_version"]
        _must(opens == self._weak, f"tasks open with predictions of {opens or 'whatever is newest'}: {said}")
        truth, task = _truth(videos.COUNT - 1), self._tasks[-1]
        proposal = self._annotator.propagate(task)
        _must(proposal.version == self._weak, f"the next prediction carries {proposal.version}")
        told, weak = self.figures["iou_of_new_clip"], proposal.worth(truth)
        told["weak"] = round(weak, 3)
        _must(weak < told["better"], f"the old version is no worse: IoU {weak:.3f}, {told['better']} before")
        kept = self._annotator.proposal(task, self._better, videos.N_FRAMES)
        _must(kept.worth(truth) > weak, "the better version's prediction is gone")
        return f"{said} On the same clip: IoU {weak:.2f} by it, {kept.worth(truth):.2f} by the better one"

    def _train(self, training: Mapping[str, Any]) -> Cycle:
        """Press Improve on the project's page; the cycle when its job is done."""
        policy = Policy(promote="auto", benchmark="none", training=dict(training))
        self._folder.save_policy(policy)
        self._console.press(f"projects/{self._project}/improve")
        [row, *_] = self._ledger.project_jobs(IMPROVE, self._project)
        self._annotator.until(row.id, lambda row: row.state == "done")
        cycle = self._folder.cycles()[0]
        told = {"outcome": cycle.outcome, "reasons": list(cycle.reasons), "against": list(cycle.against)}
        self.figures.setdefault("cycles", []).append({"run": cycle.name, "version": cycle.candidate} | told)
        return cycle

    def _served(self) -> str:
        return self._registry.served(VIDEO, self._project).version


def _truth(video: int) -> Truth:
    return [videos.truth(video, index) for index in range(videos.N_FRAMES)]


def _gain(cycle: Cycle) -> str:
    return next((reason for reason in cycle.reasons if "a gain of" in reason), "no gain was told")


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise WentWrong(otherwise)
