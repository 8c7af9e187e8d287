"""No silent forgetting: both versions on data that has nothing to do with the project.

For video objects it ships: clips drawn by our own generators, with exact truth, the same on every machine.
For the others a project's policy may name a folder; without one it is said that nothing was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from backends.core.types import Clip, Segmenter
from pipelines.loop.plan import OFF
from pipelines.loop.score_objects import LabelledSequence, LabelMap, score_objects
from pipelines.loop.scores import Benchmark, Data, Scores
from pipelines.media import davis, sample_clip
from pipelines.media.davis import DavisSequence, read_truth
from pipelines.progress import Track, quiet
from pipelines.studies import crossing

if TYPE_CHECKING:
    from backends.video_semantic.weights_file import SceneWeights
    from backends.weak_shot.weights_file import Bundle

_SEED, _SIZE_HW, _FRAMES = 20_240, (240, 416), 12
_EVERY = 3  # frames of the sample clip
_NOTHING = Data(0, 0)


def nothing(algorithm: str, folder: str) -> Benchmark | None:
    """Why nothing is measured, or None where something is."""
    if folder == OFF:
        return Benchmark(note="the policy wants no benchmark")
    if not folder and algorithm != "video_object":
        return Benchmark(
            note=f"no benchmark ships for {algorithm}; the policy's benchmark can name labelled data"
        )
    return None


def of_objects(segmenter: Segmenter, folder: str, progress: Track = quiet) -> Benchmark:
    """J&F on the drawn clips, or on the sequences of a folder in the DAVIS layout."""
    sequences = list(_davis(Path(folder))) if folder else drawn()
    name = Path(folder).name if folder else "drawn clips"
    return _from(name, score_objects(segmenter, sequences, _NOTHING, progress=progress))


def of_scenes(weights: SceneWeights, folder: str, device: str, progress: Track = quiet) -> Benchmark:
    """Mean IoU on the split ``val`` of a folder of labelled footage."""
    from backends.video_semantic.loaders import open_scenes
    from pipelines.loop.score_scenes import score_scenes

    scenes = open_scenes(Path(folder), "val")
    return _from(
        Path(folder).name, score_scenes(weights, "", scenes, _NOTHING, device=device, progress=progress)
    )


def of_photos(bundle: Bundle, folder: str, device: str, progress: Track = quiet) -> Benchmark:
    """C on the held-out photos of a folder of tagged photos."""
    from backends.weak_shot.loaders import open_photos
    from pipelines.loop.score_photos import score_photos

    photos = open_photos(Path(folder), 0)
    return _from(
        Path(folder).name, score_photos(bundle, "", photos, _NOTHING, device=device, progress=progress)
    )


@cache
def drawn() -> tuple[LabelledSequence, ...]:
    """The sample clip, one frame in three, and three clips of a textured thing that wanders about.

    Drawing them takes as long as scoring them, and both versions see the same ones.
    """
    return (_sample(), *_wanderers())


def _sample() -> LabelledSequence:
    indices = range(0, sample_clip.N_FRAMES, _EVERY)
    frames, truths = zip(*sample_clip.draw(indices), strict=True)
    names = tuple(f"{index:05d}" for index in range(len(frames)))
    clip = Clip("sample", frames, sample_clip.SIZE_HW, names)
    return _sequence("sample", clip, truths.__getitem__)


def _wanderers() -> Iterator[LabelledSequence]:
    """One object each: of look-alikes that meet, chance decides who is who, forgotten or not."""
    for scene in crossing.scenes(len(crossing.KINDS), _SEED, _SIZE_HW, _FRAMES):
        made = crossing.draw_scene(replace(scene, sprites=scene.sprites[:1]))
        yield _sequence(f"wanderer {scene.kind}", made.clip, made.truths.__getitem__)


def _davis(folder: Path) -> Iterator[LabelledSequence]:
    for name in davis.sequence_names(folder):
        sequence = davis.open_sequence(folder, name)
        yield _sequence(name, sequence.clip, _truth_of(sequence))


def _truth_of(sequence: DavisSequence) -> Callable[[int], LabelMap]:
    alone = sequence.objects == (1,)
    return lambda index: read_truth(sequence.mask_paths[index], sequence.clip.size_hw, one_object=alone)


def _sequence(name: str, clip: Clip, truth: Callable[[int], LabelMap]) -> LabelledSequence:
    """Its objects are all called after it: the figures are by sequence."""
    return LabelledSequence(name, name, clip, tuple(range(len(clip))), truth, {})


def _from(name: str, scores: Scores) -> Benchmark:
    """By sequence where there are several, else by class."""
    parts = scores.per_video if len(scores.per_video) > 1 else scores.per_class
    return Benchmark(name, scores.overall, parts)
