"""Where the loop keeps what it knows of one project, and the cycles it went through.

::

    <data_dir>/loop/project-P/
        policy.json       what a new version has to show, when one is trained
        held_out.json     the frozen list of videos that are never trained on
        report.json       figures for the console
        runs/0007-1a2b3c4d/
            cycle.json    what was decided, stage by stage: see Cycle
            answer.json   what a person said to a version that waits
            scores.json, weights.safetensors, card.json, metrics.jsonl, config.json, ...
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from backends.core.errors import BadInput, Unavailable
from backends.loop.files import read_json, write_json
from backends.loop.policy import Policy, read_policy, write_policy

STAGES = ("snapshot", "train", "score", "gate", "promote")
Outcome = Literal["", "promoted", "waiting", "refused", "failed", "cancelled", "declined"]
"""Empty while the cycle goes on; failed and cancelled ones go on when they are started again."""


@dataclass(frozen=True)
class Cycle:
    """One way from a snapshot to a decision, as ``cycle.json`` tells it."""

    run: Path
    project: int
    algorithm: str
    snapshot: str
    """Digest."""
    begun_at: float = 0.0
    """Seconds since the epoch, like ``ended_at`` (0: not ended)."""
    ended_at: float = 0.0
    why: str = ""
    """What began it: a person, enough corrected tasks, the hour."""
    stage: str = "snapshot"
    """The last one that was begun."""
    outcome: Outcome = ""
    served: str = ""
    """The version that was served when the cycle began; empty: none."""
    candidate: str = ""
    """The version that was made."""
    accepted: bool | None = None
    """What the gate said; None: it was not asked yet."""
    reasons: tuple[str, ...] = ()
    """The gate's sentences, all of them."""
    against: tuple[str, ...] = ()
    """Those of them that speak against the candidate."""
    error: str = ""
    """Why it did not come to its end."""
    seed: int = 0
    policy: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether a decision stands; starting again begins another cycle."""
        return self.outcome in {"promoted", "waiting", "refused", "declined"}

    @property
    def name(self) -> str:
        """The run's folder."""
        return self.run.name


class ProjectFolder:
    """The files of project ``project_id`` below ``data_dir``; nothing is made before it is written."""

    def __init__(self, data_dir: Path, project_id: int) -> None:
        self.project_id = project_id
        self.path = data_dir / "loop" / f"project-{project_id}"
        self.policy_path = self.path / "policy.json"
        self.held_out_path = self.path / "held_out.json"
        self.report_path = self.path / "report.json"
        self.runs = self.path / "runs"

    def policy(self) -> Policy:
        """Raises BadInput for a file that was spoilt."""
        return read_policy(self.policy_path)

    def save_policy(self, policy: Policy) -> None:
        """From the next cycle on."""
        write_policy(self.policy_path, policy)

    def cycles(self) -> list[Cycle]:
        """All of them, the newest first; folders that tell nothing are passed over."""
        if not self.runs.is_dir():
            return []
        found = [self.cycle(path.name) for path in self.runs.iterdir() if (path / "cycle.json").is_file()]
        return sorted((c for c in found if c.algorithm), key=lambda cycle: cycle.name, reverse=True)

    def cycle(self, run: str) -> Cycle:
        """What the folder ``run`` tells, a person's answer included. Raises BadInput for no such run."""
        folder = self.run(run)
        told = read_json(folder / "cycle.json")
        if not (folder / "cycle.json").is_file():
            raise BadInput(f"no run {run!r} of project {self.project_id} in {self.runs}")
        answer = read_json(folder / "answer.json").get("answer", "")
        outcome = answer if answer in {"promoted", "declined"} else told.get("outcome", "")
        known = {name: told[name] for name in Cycle.__dataclass_fields__ if name in told}
        known |= {"run": folder, "outcome": outcome}
        for name in ("reasons", "against"):
            known[name] = tuple(told.get(name, ()))
        return Cycle(**{"project": self.project_id, "algorithm": "", "snapshot": "", **known})

    def run(self, name: str) -> Path:
        """The folder of a run. Raises BadInput for a name that leads elsewhere."""
        if not name or "/" in name or "\\" in name or name.startswith("."):
            raise BadInput(f"{name!r} is no name of a run, such as 0007-1a2b3c4d")
        return self.runs / name

    def waiting(self) -> Cycle | None:
        """The newest cycle, if its version waits for a person; a newer decision overtakes it."""
        over = next((cycle for cycle in self.cycles() if cycle.is_over), None)
        return over if over is not None and over.outcome == "waiting" else None

    def answer(self, run: str, answer: Literal["promoted", "declined"], by: str = "") -> Cycle:
        """Note what a person said to a waiting version; whoever calls has moved the pointer before.

        Raises BadInput for a cycle that waits for nobody.
        """
        cycle = self.cycle(run)
        if cycle.outcome != "waiting":
            raise BadInput(f"run {run} waits for nobody: it is {cycle.outcome or 'still going on'}")
        write_json(self.run(run) / "answer.json", {"answer": answer, "by": by, "at": time.time()})
        return self.cycle(run)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One cycle per project; the kernel lets go when the process dies, however it dies.

        Raises Unavailable while another process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Unavailable(
                    f"project {self.project_id} is being trained by another process; let it end"
                ) from error
            yield
