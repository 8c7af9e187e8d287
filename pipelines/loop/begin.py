"""How a cycle begins: what came to no end is gone on with, a known snapshot begins nothing, else anew."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from backends.core.errors import BadInput, SetupFault
from backends.loop.folder import Cycle, ProjectFolder
from backends.loop.policy import Policy
from backends.registry import Registry, Served
from backends.settings import Settings
from pipelines.export.snapshot import Snapshot
from pipelines.loop.plan import OFF, PLAN, Plan, code_revision, data_of
from pipelines.loop.record import Record
from pipelines.train import DOWNLOAD

Say = Callable[[str], None]


@dataclass(frozen=True)
class Beginning:
    """The runs of a project, and what is asked of the next one."""

    folder: ProjectFolder
    settings: Settings
    policy: Policy

    def unfinished(self, say: Say) -> Path | None:
        """The newest cycle, where it has no decision and was begun with the same training."""
        cycle = next(iter(self.folder.cycles()), None)
        if cycle is None or cycle.is_over or not (cycle.run / PLAN).is_file():
            return None
        if not self._is_asked_for(cycle):
            say(f"run {cycle.name} is left unfinished: other settings are wanted now")
            return None
        say(f"going on with run {cycle.name} and its snapshot; --fresh reads the project again")
        return cycle.run

    def known(self, snapshot: Snapshot) -> Cycle | None:
        """The decision on this snapshot that stands already."""
        for cycle in self.folder.cycles():
            if cycle.is_over and cycle.snapshot == snapshot.digest and self._is_asked_for(cycle):
                return cycle
        return None

    def begin(self, snapshot: Snapshot, why: str) -> Path:
        """A new run with its plan.

        Raises SetupFault where there is nothing to start from, BadInput for a kind of snapshot that nothing
        learns from.
        """
        data, algorithm = data_of(snapshot), str(snapshot.manifest["kind"])
        served = served_to(self.settings, algorithm, self.folder.project_id)
        if served is None and not self.policy.trunk:
            raise SetupFault(
                f"no version of {algorithm} to start from, and no trunk: name one with "
                f"`maskloop policy --project {self.folder.project_id} --set trunk=download`"
            )
        run = self._next(snapshot)
        self._plan(run, algorithm, snapshot, served).write()
        Record(run).note(
            project=self.folder.project_id,
            algorithm=algorithm,
            snapshot=snapshot.digest,
            begun_at=time.time(),
            why=why,
            served=served.version if served else "",
            seed=self.policy.seed,
            policy=self.policy.to_json(),
            code=code_revision(),
            data=asdict(data),
        )
        return run

    def _plan(self, run: Path, algorithm: str, snapshot: Snapshot, served: Served | None) -> Plan:
        start, policy = str(served.weights.resolve()) if served else "", self.policy
        return Plan(
            run,
            self.folder.project_id,
            algorithm,
            snapshot.folder.resolve(),
            policy.seed,
            start,
            start,
            _place(policy.trunk, "trunk", DOWNLOAD),
            self.settings.device,
            _place(policy.benchmark, "benchmark", OFF),
            policy.training,
        )

    def _next(self, snapshot: Snapshot) -> Path:
        numbers = [int(path.name[:4]) for path in self.folder.runs.glob("[0-9][0-9][0-9][0-9]-*")]
        return self.folder.runs / f"{max(numbers, default=0) + 1:04d}-{snapshot.digest[:8]}"

    def _is_asked_for(self, cycle: Cycle) -> bool:
        """With the same training; where there was too little to train on, with the same policy."""
        told, mine = dict(cycle.policy), self.policy.to_json()
        keys = mine if cycle.is_over and not cycle.candidate else ("training", "seed")
        return all(told.get(key) == mine[key] for key in keys)


def _place(text: str, field: str, word: str) -> str:
    """An absolute path: what reads it runs in another folder. Raises BadInput for one that is not there."""
    if text in {"", word}:
        return text
    path = Path(text).resolve()
    if not path.exists():
        raise BadInput(f"policy {field}={text!r}: {path} is not there; name another, or the word {word}")
    return str(path)


def served_to(settings: Settings, algorithm: str, project: int) -> Served | None:
    """What the project is answered by now; None where there is nothing."""
    try:
        return Registry(settings.models_dir.resolve()).served(algorithm, project=project)
    except SetupFault:
        return None
