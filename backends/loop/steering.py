"""What a person can do to a project's loop: begin a run, answer a waiting version, go back, set a policy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput, SetupFault, Unavailable
from backends.loop.folder import Cycle, ProjectFolder
from backends.loop.policy import Policy
from backends.loop.triggers import Triggers
from backends.policy_form import FIELDS, in_words
from backends.registry import Registry
from backends.served_versions import algorithm_of

_TYPED = frozenset(field.name for field in FIELDS)


def nothing_to_open(project_id: int, version: str) -> str:
    """Nobody opens tasks."""
    return ""


@dataclass(frozen=True)
class Steering:
    """The console's hand on the loop. Every method returns a sentence for the person who pressed."""

    data_dir: Path
    registry: Registry
    triggers: Triggers
    looked_at: Callable[[int], object]
    """Called with a project whose policy was changed."""
    opened: Callable[[int, str], str] = nothing_to_open
    """(project, version) -> what a person has to know where tasks could not be made to open with it."""

    def improve(self, project_id: int) -> str:
        """Queue a run. Raises NoWorker, RedisDown, LabelStudioDown, TokenRefused, BadInput."""
        row = self.triggers.ask(project_id, "asked for on the console")
        if row.attempts:
            return f"It is being trained already: step {row.done} of {row.total}."
        return (
            "Queued: the project's submitted work becomes a candidate that is compared with what is served."
        )

    def promote(self, project_id: int, run: str) -> str:
        """Serve the version that waits. Raises BadInput where that run's waits no more."""
        folder = ProjectFolder(self.data_dir, project_id)
        cycle = _waiting(folder, run)
        now = self._served(cycle.algorithm, project_id)
        self.registry.promote(cycle.algorithm, cycle.candidate, project=project_id)
        folder.answer(run, "promoted", by="console")
        said = f"{cycle.candidate} is served to this project from the next request on."
        if now not in ("", cycle.served, cycle.candidate):
            said += f" It was compared with {cycle.served or 'nothing'}, but {now} answered until now."
        return said + _sentence(self.opened(project_id, cycle.candidate))

    def decline(self, project_id: int, run: str) -> str:
        """Leave the version that waits unserved. Raises BadInput where that run's waits no more."""
        folder = ProjectFolder(self.data_dir, project_id)
        cycle = _waiting(folder, run)
        folder.answer(run, "declined", by="console")
        return f"{cycle.candidate} is not served; it stays in the list of versions."

    def roll_back(self, project_id: int) -> str:
        """Serve what was served to the project before. Raises BadInput when nothing was."""
        algorithm = self._algorithm(project_id)
        before = self._served(algorithm, project_id)
        now = self.registry.roll_back(algorithm, project=project_id).version
        said = f"{now} is served again to this project (before: {before or 'nothing that could be loaded'})."
        return said + _sentence(self.opened(project_id, now))

    def set_policy(self, project_id: int, values: Mapping[str, Any]) -> str:
        """Change fields of the policy, those of the form only. Raises BadInput, naming the field.

        Files and training settings stay with the command line: whoever is logged in here need not be allowed
        to name folders of the server.
        """
        if stray := sorted(set(values) - _TYPED):
            raise BadInput(
                f"{stray[0]!r} cannot be changed here; `maskloop policy --project {project_id} --set "
                f"{stray[0]}=…` can where MaskLoop runs"
            )
        folder = ProjectFolder(self.data_dir, project_id)
        try:
            policy = folder.policy()
        except BadInput:
            policy = Policy()  # the file is spoilt, and the page says that saving writes a new one
        policy = policy.changed([f"{name}={json.dumps(value)}" for name, value in values.items()])
        folder.save_policy(policy)
        self.looked_at(project_id)
        return f"Saved. {in_words(policy)}"

    def _served(self, algorithm: str, project_id: int) -> str:
        """Empty where the pointer names what is gone: then going on or back is what mends it."""
        try:
            return self.registry.served(algorithm, project_id).version
        except SetupFault:
            return ""

    def _algorithm(self, project_id: int) -> str:
        try:
            project = self.triggers.label_studio.project(project_id)
        except Unavailable:
            cycles = ProjectFolder(self.data_dir, project_id).cycles()
            if not cycles:
                raise
            return cycles[0].algorithm  # going back must not wait for Label Studio
        return algorithm_of(str(project.get("label_config") or ""))


def _sentence(words: str) -> str:
    return f" {words[:1].upper()}{words[1:]}." if words else ""


def _waiting(folder: ProjectFolder, run: str) -> Cycle:
    """The run's cycle, provided that its version waits for a word."""
    waiting = folder.waiting()
    if waiting is not None and waiting.name == run:
        return waiting
    cycle = folder.cycle(run)
    if cycle.outcome == "waiting":
        raise BadInput(f"run {run} was overtaken by a newer decision; look at the page again")
    raise BadInput(f"run {run} waits for nobody: it is {cycle.outcome or 'still going on'}")
