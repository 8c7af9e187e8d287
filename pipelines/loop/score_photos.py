"""Scores a weak-shot bundle on held-out photos with masks: pseudo-masks from tags, which is what people get.

Classes are matched by name: tags that the bundle does not know are left out, as when it answers, and such a
class scores 0. Counted are the background and the classes that the held-out masks show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from backends.core.types import Image
from backends.weak_shot.classes import ClassSet
from backends.weak_shot.everywhere import label_map
from backends.weak_shot.labeller import Labeller
from backends.weak_shot.photos import Photos
from backends.weak_shot.weights_file import Bundle
from pipelines.loop.examples import Examples
from pipelines.loop.score_scenes import Tally, mean
from pipelines.loop.scores import Data, Figure, Scores
from pipelines.progress import Track, quiet

LabelMap = NDArray[np.uint8]
Answer = Callable[[Image, tuple[str, ...]], LabelMap]


def score_photos(
    bundle: Bundle,
    version: str,
    photos: Photos,
    data: Data,
    *,
    device: str = "cpu",
    examples: Examples | None = None,
    progress: Track = quiet,
) -> Scores:
    """C, the mean IoU over what is shown, in points; C of base and of novel classes and of the final network
    (which needs no tags) beside it. Raises BadMedia and BadMask for photos that cannot be read.
    """
    names = ("background", *photos.classes.names)
    answers = _answers(bundle, photos.classes, device)
    tallies = {who: Tally(len(names)) for who in answers}
    chosen = [photo for photo in photos.held_out if photo.mask_path is not None]
    for photo in progress(chosen, total=len(chosen), label="held-out photos"):
        image, truth = photos.image(photo), photos.truth(photo)
        for who, answer in answers.items():
            labels = answer(image, photo.tags)
            tallies[who].add(truth, labels)
            if examples is not None and who == "tags":
                examples.put(photo.name, 0, f"images/{photo.image_path.name}", truth, labels)
    per_class = tallies["tags"].figures(names)
    more = _beside(per_class, photos.classes)
    if "network" in tallies:
        more["c_network"] = mean([figure.value for figure in tallies["network"].figures(names).values()])
    unknown = tuple(n for n in per_class if n != "background" and n not in bundle.classes.names)
    overall = mean([figure.value for figure in per_class.values()])
    return Scores(version, "c", overall, per_class, data, more=more, unknown=unknown)


def _answers(bundle: Bundle, classes: ClassSet, device: str) -> dict[str, Answer]:
    """By tags, and where there is a final network by that one."""
    table = _matched(bundle.classes.names, classes.names)
    answers: dict[str, Answer] = {"tags": partial(_by_tags, Labeller(bundle), table)}
    if bundle.segmentation is not None:
        ask = partial(label_map, bundle.segmentation, long_side_px=bundle.long_side_px, device=device)
        answers["network"] = lambda image, tags: table[ask(image)]
    return answers


def _by_tags(labeller: Labeller, table: LabelMap, image: Image, tags: tuple[str, ...]) -> LabelMap:
    known = labeller.bundle.classes.names if labeller.bundle.classifier is not None else ()
    usable = tuple(tag for tag in tags if tag in known)
    if not usable:
        return np.zeros(image.shape[:2], np.uint8)
    return table[labeller.label(image, usable).labels]


def _matched(known: Sequence[str], names: Sequence[str]) -> LabelMap:
    """(256,) a bundle's ids -> ids of ``names`` from 1, ``len(names) + 1`` for none of them; 0 stays 0."""
    table = np.full(256, len(names) + 1, np.uint8)
    table[0] = 0
    for number, name in enumerate(known, start=1):
        if name in names:
            table[number] = list(names).index(name) + 1
    return table


def _beside(figures: dict[str, Figure], classes: ClassSet) -> dict[str, float]:
    novel = [figure.value for name, figure in figures.items() if name in classes.novel]
    base = [figure.value for name, figure in figures.items() if name not in classes.novel]
    return {"c_base": mean(base), "c_novel": mean(novel)}
