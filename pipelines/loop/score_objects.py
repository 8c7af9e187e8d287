"""Scores a video-object network on labelled clips: each object's first labelled mask is given.

Every labelled frame after the given one counts, the last one too: held-out clips are short and their labels
dear. (The public metric leaves out the last frame.) An object's figure is its mean over frames, a label's,
a video's and the overall figure are means over objects.

A mask that a person accepted untouched is the answer of the version that proposed it. Taken as the truth it
would give that version full marks, so it only says what was good enough: see :data:`GOOD_ENOUGH`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.core.frames import clip_from_folder
from backends.core.images import read_index_mask
from backends.core.metrics import Score, boundary_f, jaccard, mean_score
from backends.core.types import Clip, FrameMasks, MaskPrompt, Segmenter
from backends.loop.files import read_json
from pipelines.export.snapshot import Snapshot
from pipelines.loop.examples import Examples
from pipelines.loop.scores import Data, Figure, Scores
from pipelines.progress import Track, quiet

LabelMap = NDArray[np.uint8]
GOOD_ENOUGH = 0.9
"""J and F from which an answer counts as right where the mask was accepted as it was proposed."""


@dataclass(frozen=True)
class LabelledSequence:
    """A clip whose frames ``labelled`` have an index map; ``names`` says what the numbers are called."""

    name: str
    video: str
    clip: Clip
    labelled: tuple[int, ...]
    truth: Callable[[int], LabelMap]
    names: Mapping[int, str]
    folder: str = ""
    """Of its frames, below the snapshot."""
    accepted: frozenset[tuple[int, str]] = frozenset()
    """(frame, label) of masks that a person left as a version had proposed them."""


@dataclass(frozen=True)
class ObjectScore:
    """One object of one clip."""

    label: str
    video: str
    score: Score
    frames: int


def held_out_sequences(snapshot: Snapshot) -> list[LabelledSequence]:
    """The held-out clips of a snapshot of video objects. Raises BadMedia for frames that cannot be read."""
    told = read_json(snapshot.folder / "objects.json")
    clips = {name: clip for name, clip in snapshot.manifest["clips"].items() if clip["split"] == "held_out"}
    return [
        _open(snapshot.folder, name, clip, told.get(name, {}))
        for name, clip in sorted(clips.items())
        if (snapshot.folder / "Annotations" / name).is_dir()
    ]


def score_objects(
    segmenter: Segmenter,
    sequences: Sequence[LabelledSequence],
    data: Data,
    *,
    examples: Examples | None = None,
    progress: Track = quiet,
) -> Scores:
    """J&F by label and by video, in points; NaN overall where nothing could be scored."""
    found: list[ObjectScore] = []
    notes: list[str] = []
    for sequence in sequences:
        scored, lonely = _follow(segmenter, sequence, examples, progress)
        found += scored
        notes += [
            f"{sequence.name}: {name!r} is on one labelled frame only, nothing to score" for name in lonely
        ]
    overall = _figure(found)
    return Scores(
        segmenter.version,
        "j_and_f",
        overall.value,
        _grouped(found, lambda one: one.label),
        data,
        _grouped(found, lambda one: one.video),
        overall.more,
        notes=tuple(notes),
    )


def _open(root: Path, name: str, told: Mapping[str, Any], names: Mapping[str, str]) -> LabelledSequence:
    clip = clip_from_folder(root / "JPEGImages" / name, clip_id=name)
    maps = root / "Annotations" / name
    paths = {i: path for i, stem in enumerate(clip.names) if (path := maps / f"{stem}.png").is_file()}

    def truth(index: int) -> LabelMap:
        return read_index_mask(paths[index])

    known = {int(number): label for number, label in names.items()}
    at = {stem: index for index, stem in enumerate(clip.names)}
    accepted = frozenset((at[stem], label) for stem, label in _accepted(told) if stem in at)
    folder = f"JPEGImages/{name}"
    return LabelledSequence(name, str(told["video"]), clip, tuple(paths), truth, known, folder, accepted)


def _accepted(told: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Frame's stem and label of every mask of the annotation that counts which nobody changed."""
    for annotation in told.get("annotations", ()):
        for mask in annotation["masks"] if annotation["masks_count"] else ():
            if mask["origin"] == "accepted":
                yield f"{mask['frame']:05d}", mask["class"]


def _follow(
    segmenter: Segmenter, sequence: LabelledSequence, examples: Examples | None, progress: Track
) -> tuple[list[ObjectScore], list[str]]:
    """Every object's score, and the objects that are labelled only where they are given."""
    prompts = list(_given(sequence))
    if not prompts:
        return [], []
    numbers = {_name(sequence, number): number for number in _numbers(sequence)}
    since = {prompt.object_id: prompt.frame_index for prompt in prompts}
    scores: dict[str, list[Score]] = {name: [] for name in since}
    stream = segmenter.segment(sequence.clip, prompts)
    for masks in progress(stream, total=len(sequence.clip), label=sequence.name):
        index = masks.frame_index
        if index not in sequence.labelled:
            continue
        truth = sequence.truth(index)
        for name in (name for name, begun in since.items() if index > begun):
            score = _compare(masks, name, truth == numbers[name])
            scores[name].append(_enough(score) if (index, name) in sequence.accepted else score)
        if examples is not None and index == sequence.labelled[-1]:
            answer = _drawn(masks, numbers, truth.shape)
            image = f"{sequence.folder}/{_file(sequence, index)}"
            examples.put(sequence.name, index, image, truth, answer)
    whole = [
        ObjectScore(name, sequence.video, mean_score(frames), len(frames))
        for name, frames in scores.items()
        if frames
    ]
    return whole, [name for name, frames in scores.items() if not frames]


def _given(sequence: LabelledSequence) -> Iterable[MaskPrompt]:
    """Each object's mask on the first labelled frame that shows it."""
    seen: set[int] = set()
    for index in sequence.labelled:
        truth = sequence.truth(index)
        for number in _present(truth):
            if number not in seen:
                seen.add(number)
                yield MaskPrompt(_name(sequence, number), index, np.equal(truth, number))


def _numbers(sequence: LabelledSequence) -> set[int]:
    return {number for index in sequence.labelled for number in _present(sequence.truth(index))}


def _present(truth: LabelMap) -> list[int]:
    return [int(number) for number in np.unique(truth) if 0 < number < 255]


def _name(sequence: LabelledSequence, number: int) -> str:
    return sequence.names.get(number, f"object {number}")


def _compare(masks: FrameMasks, name: str, truth: NDArray[np.bool_]) -> Score:
    found = masks.masks.get(name)
    found = np.zeros(truth.shape, np.bool_) if found is None else found
    return Score(jaccard(found, truth), boundary_f(found, truth))


def _enough(score: Score) -> Score:
    """Full marks from GOOD_ENOUGH on, less in proportion below."""
    return Score(min(1.0, score.j / GOOD_ENOUGH), min(1.0, score.f / GOOD_ENOUGH))


def _drawn(masks: FrameMasks, numbers: Mapping[str, int], size_hw: tuple[int, ...]) -> LabelMap:
    drawn = np.zeros(size_hw, np.uint8)
    for name, number in numbers.items():
        if name in masks.masks:
            drawn[masks.masks[name]] = number
    return drawn


def _file(sequence: LabelledSequence, index: int) -> str:
    """The frame's file name; snapshots keep the suffix that the frame came with."""
    paths = getattr(sequence.clip.frames, "paths", ())
    return paths[index].name if paths else sequence.clip.names[index]


def _grouped(found: Sequence[ObjectScore], key: Callable[[ObjectScore], str]) -> dict[str, Figure]:
    names = sorted({key(one) for one in found})
    return {name: _figure([one for one in found if key(one) == name]) for name in names}


def _figure(objects: Sequence[ObjectScore]) -> Figure:
    if not objects:
        return Figure(float("nan"), 0)
    mean = mean_score(one.score for one in objects)
    more = {"j": 100 * mean.j, "f": 100 * mean.f}
    return Figure(100 * mean.j_and_f, sum(one.frames for one in objects), more)
