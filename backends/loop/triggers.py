"""When a project's next run begins by itself, and how it is asked for. Whoever asks ends here.

:func:`due` is a pure function of the policy, of what Label Studio says was submitted, and of the clock. So
webhooks can only make somebody look earlier; what is found then does not depend on them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from backends.core.errors import LabelStudioDown, MaskLoopError
from backends.ledger import JobRow, Ledger
from backends.loop.corrections import Corrections, Tasks, leave_marks, read_marks
from backends.loop.folder import ProjectFolder
from backends.loop.policy import Policy
from backends.notices import Notices
from backends.queues import IMPROVE, ImproveRequest
from backends.served_versions import algorithm_of

log = logging.getLogger(__name__)

MOST_DEBOUNCES = 10
"""People who submit without a pause put a run off for so many times the policy's quiet seconds, no longer."""

_UNDER_WAY = ("queued", "running", "cancelling")


class LabelStudio(Tasks, Protocol):
    """What is asked of Label Studio; each raises LabelStudioDown, TokenRefused or BadInput."""

    def project(self, project_id: int) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Verdict:
    """Whether a run should begin now."""

    reason: str = ""
    """Why it should, in words; empty: it should not."""
    wait_s: float | None = None
    """When to look again because only quiet is missing; None: when something happens."""


def due(policy: Policy, submitted_at: Collection[float], last_begun: float | None, now: float) -> Verdict:
    """``submitted_at``: of each task with new work, when; ``last_begun``: when the last run was asked for."""
    ripe = _ripe(policy, sorted(submitted_at), last_begun, now)
    if ripe is None:
        return Verdict()
    reason, since = ripe
    quiet_at = max(submitted_at) + policy.debounce_s
    at = min(quiet_at, since + MOST_DEBOUNCES * policy.debounce_s)
    return Verdict(reason) if now >= at else Verdict(wait_s=at - now)


def _ripe(
    policy: Policy, submitted_at: Sequence[float], last_begun: float | None, now: float
) -> tuple[str, float] | None:
    """Why there is enough for a run, and since when; None when there is not."""
    count = len(submitted_at)
    tasks = "1 task was" if count == 1 else f"{count} tasks were"
    if policy.after_tasks and count >= policy.after_tasks:
        return f"{tasks} submitted since the last run", submitted_at[policy.after_tasks - 1]
    hour = submitted_at[0] if count else now
    if last_begun is not None:
        hour = max(hour, last_begun + policy.every_h * 3600)
    if policy.every_h and count and now >= hour:
        return f"{policy.every_h:g} hours are over and {tasks} submitted since the last run", hour
    return None


@dataclass
class Triggers:
    """Looks at projects and asks for their runs."""

    data_dir: Path
    label_studio: LabelStudio
    ledger: Ledger
    enqueue: Callable[[ImproveRequest], JobRow]
    notices: Notices
    _corrections: dict[int, Corrections] = field(default_factory=dict)
    _said: dict[int, str] = field(default_factory=dict)

    def projects(self) -> list[int]:
        """Those whose policy lets a run begin by itself."""
        found = []
        for path in sorted(self.data_dir.glob("loop/project-*/policy.json")):
            number = path.parent.name.removeprefix("project-")
            if number.isdecimal() and self._policy(int(number)) is not None:
                found.append(int(number))
        return found

    def look(self, project_id: int, now: float) -> Verdict:
        """Ask for a run where one is due. What goes wrong is told, once; the next look tries again."""
        policy = self._policy(project_id)
        if policy is None:
            return Verdict()
        try:
            verdict = self._look(project_id, policy, now)
        except MaskLoopError as error:
            self._say(project_id, error)
            return Verdict()
        self._said.pop(project_id, None)
        return verdict

    def _look(self, project_id: int, policy: Policy, now: float) -> Verdict:
        rows = self.ledger.project_jobs(IMPROVE, project_id)
        if any(row.state in _UNDER_WAY for row in rows):  # an earlier one may have been tried again
            return Verdict()
        folder = ProjectFolder(self.data_dir, project_id)
        corrections = self._corrections.setdefault(project_id, Corrections(self.label_studio))
        found = corrections.since(read_marks(folder), project_id)
        begun = [row.created_at for row in rows[:1]] + [cycle.begun_at for cycle in folder.cycles()[:1]]
        verdict = due(policy, found.values(), max(begun, default=None), now)
        if verdict.reason:
            row = self.ask(project_id, verdict.reason)
            # It leaves its own when it begins; one that dies before must not be asked for again and again.
            leave_marks(folder, self.label_studio, row.id, is_begun=False)
            self.notices.add("info", f"Project {project_id}: {verdict.reason}, so a training is queued.")
        return verdict

    def ask(self, project_id: int, reason: str) -> JobRow:
        """Ask for a run; the one that is under way, if there is one.

        Raises NoWorker, RedisDown, LabelStudioDown, TokenRefused, BadInput.
        """
        config = str(self.label_studio.project(project_id).get("label_config") or "")
        return self.enqueue(ImproveRequest(project_id, algorithm_of(config), reason))

    def pressed(self, project_id: int) -> None:
        """Start training was pressed in Label Studio, which shows nobody an answer; the console tells."""
        where = f"project {project_id}"
        try:
            row = self.ask(project_id, "Start training was pressed in Label Studio")
        except MaskLoopError as error:
            self.notices.add("error", f"Start training was pressed in {where}, but nothing began: {error}.")
        else:
            told = "is being trained" if row.state == "running" else "is queued for training"
            self.notices.add(
                "info", f"Start training was pressed: {where} {told}; its page shows how far it is."
            )

    def _policy(self, project_id: int) -> Policy | None:
        """The project's, where it lets a run begin by itself."""
        try:
            policy = ProjectFolder(self.data_dir, project_id).policy()
        except MaskLoopError as error:
            self._say(project_id, error)
            return None
        return policy if policy.after_tasks or policy.every_h else None

    def _say(self, project_id: int, error: MaskLoopError) -> None:
        words = f"Project {project_id}: no training begins by itself now: {error}."
        if self._said.get(project_id) == words:
            return
        self._said[project_id] = words
        if isinstance(error, LabelStudioDown):
            log.warning("%s", words)  # everything else of the console says so already
        else:
            self.notices.add("warning", words)
