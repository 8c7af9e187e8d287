"""What is simulated: everything that decides the outcome, checked before anything runs and kept beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from backends.core.errors import BadInput
from backends.loop.files import read_json, write_json
from backends.loop.policy import Policy
from pipelines.simulation.choosing import STRATEGIES
from pipelines.simulation.counting import METRIC, Goal

TARGETS = {"video_object": 90.0, "video_semantic": 75.0}
"""Points of the metric that a clip has to reach, where nobody says otherwise."""
_PLAN = "simulation.json"

Retrain = Literal["propose", "each"]
"""``propose``: one loop, whose annotator corrects what we propose, and the others are counted with its
versions. ``each``: a loop of its own for every strategy."""


HeldOut = Literal["accepted", "exact"]
"""How the clips that judge are handed in. ``accepted``: like all others, what is good enough is left as the
served version made it, which flatters that version. ``exact``: every frame as it truly is, uncounted."""


@dataclass(frozen=True)
class Simulation:
    """One simulation. Raises BadInput, naming the option."""

    algorithm: str
    data: Path
    loop: tuple[str, ...]
    """Videos that are labelled and learnt from."""
    test: tuple[str, ...]
    """Videos that no version ever learns from."""
    split: str = "val"
    rounds: int = 3
    strategies: tuple[str, ...] = STRATEGIES
    target: float = 90.0
    corrections: int = 10
    every: int = 1
    seed: int = 0
    seeds: int = 3
    """Orders by lot to average over."""
    retrain: Retrain = "propose"
    held_out: HeldOut = "accepted"
    policy: Policy = field(default_factory=lambda: Policy(promote="auto"))

    def __post_init__(self) -> None:
        if self.algorithm not in METRIC:
            raise BadInput(f"{self.algorithm!r} cannot be simulated; known: {', '.join(sorted(METRIC))}")
        if not self.loop or not self.test:
            raise BadInput("--loop and --test want at least one video each")
        for name in ("rounds", "corrections", "seeds"):
            if getattr(self, name) < 1:
                raise BadInput(f"--{name} {getattr(self, name)}: wants 1 or more")
        if not 0 < self.target <= 100:
            raise BadInput(f"--target {self.target:g}: wants points above 0, 100 at most")
        if unknown := [name for name in self.strategies if name not in STRATEGIES]:
            raise BadInput(f"--strategies {unknown[0]!r}: unknown; known: {', '.join(STRATEGIES)}")
        if not self.strategies:
            raise BadInput("--strategies wants at least one")
        if self.policy.promote != "auto":
            raise BadInput("--set promote=ask: nobody is there to say yes; leave it out")

    @property
    def goal(self) -> Goal:
        """When a clip is good enough."""
        return Goal(self.target, self.corrections)

    @property
    def tracks(self) -> dict[str, tuple[str, ...]]:
        """Who labels in a loop -> the strategies that are counted with its versions."""
        if self.retrain == "each":
            return {strategy: (strategy,) for strategy in self.strategies}
        return {"propose": self.strategies}

    def orders(self, strategy: str) -> range:
        """The seeds that a strategy is counted with."""
        return range(self.seed, self.seed + (self.seeds if strategy == "random" else 1))

    def to_json(self) -> dict[str, Any]:
        """Everything but where the data lie, for JSON."""
        told: dict[str, Any] = json.loads(json.dumps({**asdict(self), "data": self.data.name}))
        return told

    def claim(self, out: Path, version: str) -> None:
        """Note in ``out`` what is simulated there. Raises BadInput where that is something else."""
        told = {**self.to_json(), "data": str(self.data.resolve()), "begins_with": version}
        known = read_json(out / _PLAN)
        if known and (odd := sorted(name for name in told if told[name] != known.get(name))):
            raise BadInput(
                f"{out} holds a simulation with another {odd[0]} ({known.get(odd[0])!r}); choose another "
                "--out or that value"
            )
        write_json(out / _PLAN, told)


def names(text: str, option: str) -> tuple[str, ...]:
    """``A,B`` -> both. Raises BadInput for a name given twice."""
    found = tuple(name for name in text.split(",") if name)
    if twice := [name for name in found if found.count(name) > 1]:
        raise BadInput(f"{option}: {twice[0]!r} is named twice")
    return found
