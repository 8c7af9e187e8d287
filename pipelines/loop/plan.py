"""What one training is to do, written into its run folder before it begins, so that a killed one goes on."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from backends.core.errors import BadInput
from backends.loop.files import read_json, write_json
from pipelines.export.snapshot import Snapshot
from pipelines.loop.scores import Data

PLAN = "plan.json"
OFF = "none"
"""In place of a benchmark's folder: nothing is to be measured."""
_MAPS = {"video_object": "Annotations", "video_semantic": "masks"}
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Plan:
    """Paths are absolute. ``start_from`` and ``served`` are weights files, empty where no version is served:
    the second is what the candidate is compared with, should another be promoted meanwhile."""

    run: Path
    project: int
    algorithm: str
    snapshot: Path
    seed: int = 0
    start_from: str = ""
    served: str = ""
    trunk: str = ""
    """Where there is nothing to start from: ImageNet weights, or ``download``."""
    device: str = "cpu"
    benchmark: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Settings that go over the recipe's."""

    def write(self) -> None:
        """Into the run folder."""
        told = asdict(self) | {"run": str(self.run), "snapshot": str(self.snapshot)}
        write_json(self.run / PLAN, told)

    @classmethod
    def read(cls, run: Path) -> Plan:
        """The plan of a run. Raises BadInput for a folder without one."""
        told = read_json(run / PLAN)
        if not told:
            raise BadInput(f"{run} holds no plan of a training")
        return cls(**{**told, "run": run, "snapshot": Path(told["snapshot"])})


def data_of(snapshot: Snapshot) -> Data:
    """How much of a snapshot trains and how much judges. Raises BadInput for one of an unknown kind."""
    told = snapshot.manifest
    if told.get("kind") == "weak_shot":
        photos = Counter("held_out" if p["held_out"] else "train" for p in told["photos"].values())
        counts = {
            f"{part}_{what}": photos[part] for part in ("train", "held_out") for what in ("clips", "frames")
        }
        return Data(**counts, unit="photo")
    folder = _MAPS.get(str(told.get("kind")))
    if folder is None:
        raise BadInput(
            f"{snapshot.folder}: a snapshot of kind {told.get('kind')!r}, which nothing learns from"
        )
    maps = [name.split("/") for name in told["files"] if name.startswith(f"{folder}/")]
    frames = Counter(parts[1] for parts in maps if len(parts) == 3)
    return Data(**_counts("train", told, frames), **_counts("held_out", told, frames))


def _counts(
    part: Literal["train", "held_out"], told: Mapping[str, Any], frames: Counter[str]
) -> dict[str, Any]:
    names = [name for name, clip in told["clips"].items() if clip["split"] == part and frames[name]]
    return {
        f"{part}_clips": len(names),
        f"{part}_videos": len({told["clips"][name]["video"] for name in names}),
        f"{part}_frames": sum(frames[name] for name in names),
    }


def code_revision() -> str:
    """The state of the code: of its checkout where there is one, else of the installed package."""
    if (_ROOT / ".git").exists():
        try:
            command = ["git", "describe", "--always", "--dirty"]
            told = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=10, check=True)
            return told.stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pass  # no git on this machine
    try:
        return f"maskloop {version('maskloop')}"
    except PackageNotFoundError:
        return "unknown"
