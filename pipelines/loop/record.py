"""What a run folder remembers of its cycle: ``cycle.json`` as it grows, and the scores when there are any."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput
from backends.loop.files import read_json, write_json
from pipelines.loop.scores import Scores

CYCLE, SCORES, WEIGHTS = "cycle.json", "scores.json", "weights.safetensors"


@dataclass(frozen=True)
class Record:
    """One run's."""

    run: Path

    def told(self, name: str) -> str:
        """What was noted under ``name``, as text; empty for nothing."""
        return str(read_json(self.run / CYCLE).get(name, ""))

    def note(self, **values: Any) -> None:
        """On disk before the call returns."""
        write_json(self.run / CYCLE, {**read_json(self.run / CYCLE), **values})

    def end(self, outcome: str, error: str = "") -> None:
        """The last word, for now."""
        self.note(outcome=outcome, error=error, ended_at=time.time())


def scores_of(run: Path) -> tuple[Scores, Scores]:
    """Candidate's and served version's figures. Raises BadInput for a run that was not scored."""
    told = read_json(run / SCORES)
    if not told:
        raise BadInput(f"{run}: no scores; the cycle did not come so far")
    return Scores.from_json(told["candidate"]), Scores.from_json(told["served"])


def write_scores(run: Path, candidate: Scores, served: Scores) -> None:
    """Both or none of them."""
    write_json(run / SCORES, {"candidate": candidate.to_json(), "served": served.to_json()})
