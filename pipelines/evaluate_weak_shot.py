"""Scores the weak-shot method on held-out photos: pseudo-masks from tags, and the final network without any.

The method sees photos and tags; masks go to the metric alone. Both answers are scored over the background and
all classes, novel and base, in one accumulated confusion matrix each.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.core.confusion import Confusion
from backends.core.errors import BadInput
from backends.core.types import Image
from backends.weak_shot.classes import ClassSet
from backends.weak_shot.confusion import Scores, new_confusion, scores
from backends.weak_shot.confusion import table as scores_table
from backends.weak_shot.photos import Photos
from pipelines.media.palette import write_index_png
from pipelines.progress import Track, quiet

Answer = Callable[[Image, tuple[str, ...]], NDArray[np.uint8]]
"""A photo and its tags -> (H, W) uint8 class ids at the photo's size; the final network needs no tags."""


@dataclass
class Tally:
    """One answerer's counts and laps over the photos."""

    answer: Answer
    confusion: Confusion
    laps_s: list[float] = field(default_factory=list)

    def add(self, image: Image, tags: tuple[str, ...], truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Ask for one photo's labels and count them; returns the labels."""
        began = time.perf_counter()
        labels = self.answer(image, tags)
        self.laps_s.append(time.perf_counter() - began)
        self.confusion.add(truth, labels)
        return labels


@dataclass(frozen=True)
class Evaluation:
    """What came out, by answerer; ``seconds`` is the median time per photo."""

    photos: Photos
    count: int
    scores: Mapping[str, Scores]
    seconds: Mapping[str, float]

    def to_json(self, version: str) -> dict[str, Any]:
        """Each answerer's figures under its name, and the last one's C's again at the top."""
        parts = {
            name: {**found.to_json(), "seconds_per_photo": round(self.seconds[name], 4)}
            for name, found in self.scores.items()
        }
        last = list(parts.values())[-1]
        return {
            "algorithm": "weak_shot",
            "version": version,
            "layout": self.photos.layout,
            "fold": self.photos.fold,
            "photos": self.count,
            "novel": sorted(self.photos.classes.novel),
            **{name: last[name] for name in ("c", "c_base", "c_novel")},
            **parts,
            "notes": list(self.photos.notes),
        }

    def table(self) -> str:
        """The figures as lines for people."""
        spent = ", ".join(f"{name} {1000 * lap:.0f} ms" for name, lap in self.seconds.items())
        return (
            f"{scores_table(self.scores, sorted(self.photos.classes.novel))}\n"
            f"* novel: tags only. {self.count} held-out photos of {self.photos.layout}, "
            f"fold {self.photos.fold}; per photo: {spent}"
        )


def evaluate_weak_shot(
    answers: Mapping[str, Answer],
    photos: Photos,
    *,
    masks_out: Path | None = None,
    progress: Track = quiet,
) -> Evaluation:
    """``c``, ``c_base``, ``c_novel`` and IoU per class (0..1) of every answer over the held-out photos.

    ``answers`` maps a name (``pseudo_masks``, ``network``) to what is asked. With ``masks_out`` the labels
    are written as ``masks_out/NAME/PHOTO.png``. Raises BadInput when no held-out photo has a mask, and for a
    photo or mask that cannot be read: a score over the others would be another score.
    """
    chosen = [photo for photo in photos.held_out if photo.mask_path is not None]
    if not chosen:
        raise BadInput(
            f"no held-out photo of this folder ({photos.layout}) has a mask, so there is nothing to score on"
        )
    tallies = {name: Tally(answer, new_confusion(photos.classes)) for name, answer in answers.items()}
    for photo in progress(chosen, total=len(chosen), label="evaluate"):
        image, truth = photos.image(photo), photos.truth(photo)
        for name, tally in tallies.items():
            labels = tally.add(image, photo.tags, truth)
            if masks_out is not None:
                write_index_png(masks_out / name / f"{photo.name}.png", labels)
    return Evaluation(
        photos,
        len(chosen),
        {name: scores(tally.confusion, photos.classes) for name, tally in tallies.items()},
        {name: statistics.median(tally.laps_s) for name, tally in tallies.items()},
    )


def check_classes(weights: ClassSet, photos: Photos) -> None:
    """Raises BadInput unless the weights know the photos' classes, and as novel the classes of this fold."""
    if weights.names != photos.classes.names:
        raise BadInput(
            f"these weights know the classes {_listed(weights.names)}; "
            f"the photos have {_listed(photos.classes.names)}"
        )
    if weights.novel != photos.classes.novel:
        raise BadInput(
            f"these weights were trained with {_listed(weights.novel)} as novel, but fold {photos.fold} of "
            f"{photos.layout} has {_listed(photos.classes.novel)}: training has seen masks of them"
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
