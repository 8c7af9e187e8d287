"""Drawn videos of scenes, and a model of a few lines that knows an object in the scenes it was shown.

A scene is told by the grey of its background. The model answers the truth in every scene of which a mask was
given, and in the scenes 1 to L that it has *learnt*; elsewhere it sees nothing and is little sure. So a clip
needs exactly one correction for each scene that is neither given nor learnt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from backends.core.types import Clip, FrameMasks, Image, MaskPrompt, Prompt, Segmenter
from backends.loop.files import write_json
from backends.loop.policy import Policy
from backends.registry import Served, version_of
from backends.settings import Settings
from pipelines.export.snapshot import open_snapshot
from pipelines.loop.plan import Plan, data_of
from pipelines.loop.record import WEIGHTS, write_scores
from pipelines.loop.scores import Figure, Scores
from pipelines.loop.work import Report
from pipelines.simulation.plan import Simulation
from pipelines.simulation.run import simulate
from pipelines.simulation.track import Around
from tests.media import save_mask

SIZE_HW = (32, 48)
SCENES, PER_SCENE = 3, 4
FRAMES = SCENES * PER_SCENE
_BRIGHT = 200


def picture(index: int) -> Image:
    """A bright square that moves over a background of the scene's grey."""
    drawn = np.full((*SIZE_HW, 3), 20 + 30 * (index // PER_SCENE), np.uint8)
    drawn[8:20, 4 + 2 * index : 14 + 2 * index] = _BRIGHT + 20
    return drawn


def write_videos(root: Path, *names: str) -> Path:
    """Videos in the DAVIS layout, all of the same scenes."""
    for name in names:
        for index in range(FRAMES):
            drawn = picture(index)
            save_mask(root / "JPEGImages" / name / f"{index:05d}.png", drawn)
            white = np.where(drawn[..., 0] > _BRIGHT, 255, 0).astype(np.uint8)
            save_mask(root / "Annotations" / name / f"{index:05d}.png", white)
    return root


@dataclass
class Knower:
    """Stops with Ctrl-C after ``strength`` frames in all."""

    learnt: int
    version: str
    strength: list[int] = field(default_factory=lambda: [10_000])

    def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        given = [p for p in prompts if isinstance(p, MaskPrompt)]
        known = {_scene(clip.frames[p.frame_index]) for p in given} | set(range(1, self.learnt + 1))
        [name] = {p.object_id for p in given}
        for index in range(len(clip)):
            self.strength[0] -= 1
            if self.strength[0] < 0:
                raise KeyboardInterrupt
            is_known = _scene(clip.frames[index]) in known
            mask = (clip.frames[index][..., 0] > _BRIGHT) & is_known
            yield FrameMasks(index, {name: mask}, {name: 0.9 if is_known else 0.1})


def _scene(image: Image) -> int:
    return (int(image[0, 0, 0]) - 20) // 30


def write_weights(path: Path, learnt: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{learnt}")
    return path


@dataclass
class School:
    """What stands for training and scoring: one more scene is learnt, and scored so many points better."""

    gain: float = 10.0
    strength: int = 10_000
    """Trainings before Ctrl-C."""

    def __call__(self, plan: Plan, settings: Settings, report: Report) -> None:
        self.strength -= 1
        if self.strength < 0:
            raise KeyboardInterrupt
        learnt = int(Path(plan.start_from).read_text())
        weights = write_weights(plan.run / WEIGHTS, learnt + 1)
        write_json(plan.run / "card.json", {"steps": 1})
        data = data_of(open_snapshot(plan.snapshot))

        def scores(path: Path, value: float) -> Scores:
            figures = {"object 1": Figure(value, data.held_out_frames)}
            return Scores(version_of("video_object", path), "j_and_f", value, figures, data)

        served = 50.0 + 10 * learnt
        write_scores(plan.run, scores(weights, served + self.gain), scores(Path(plan.served), served))


def run(
    simulation: Simulation,
    out: Path,
    *,
    school: School | None = None,
    strength: int = 10_000,
    said: list[str] | None = None,
) -> dict[str, object]:
    """A simulation with the stand-ins; Ctrl-C after ``strength`` frames."""
    begin = write_weights(out.parent / "first.safetensors", 0)
    left = [strength]

    def load(weights: Path, settings: Settings, version: str) -> Segmenter:
        return Knower(int(weights.read_text()), version, left)

    around = Around(work=school or School(), say=(said if said is not None else []).append)
    served = Served(version_of("video_object", begin), begin)
    return simulate(simulation, out, Settings(), served, load, around)


def plan(data: Path, **changes: object) -> Simulation:
    """Two loop videos, of which one is held out, and one to test on."""
    values: dict[str, object] = {
        "algorithm": "video_object",
        "data": data,
        "loop": ("one", "two"),
        "test": ("three",),
        "rounds": 2,
        "target": 100.0,
        "seeds": 2,
        "policy": Policy(promote="auto", enough_train=1),
    }
    return Simulation(**{**values, **changes})  # type: ignore[arg-type]
