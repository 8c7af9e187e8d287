"""Base classes that play novel ones, so that settings can be chosen without a novel class's mask.

What is best for classes with masks need not be best for classes without: their responses are stronger, and
a walk that helps them can wash the weaker ones out. So some base classes give up their masks, and how well
these come out says which settings to take. The truly novel ones keep their tags; nobody looks at their masks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from backends.core.errors import BadInput
from backends.weak_shot.classes import IGNORE
from backends.weak_shot.photos import Labels, Photo, Photos

EVERY = 3


def pretended(photos: Photos) -> tuple[str, ...]:
    """The base classes that play novel ones: every third of those that at most half of the photos show.

    They are taken by how many training photos show them, so that frequent and rare ones are among them, from
    the second on. Raises BadInput where there are fewer than two such classes.
    """
    shown = Counter(tag for photo in photos.train for tag in photo.tags)
    base = [name for name in photos.classes.names if name not in photos.classes.novel]
    rare = [name for name in base if 0 < shown[name] <= len(photos.train) / 2]
    if len(rare) < 2:
        raise BadInput(
            f"{len(rare)} base classes are on at most half of the photos; to choose settings wants 2 or more"
        )
    return tuple(sorted(rare, key=lambda name: -shown[name])[1::EVERY])


def with_pretended(photos: Photos) -> Photos:
    """The same photos: :func:`pretended` classes novel too, pixels of truly novel ones 255 in every mask."""
    classes = replace(photos.classes, novel=photos.classes.novel | set(pretended(photos)))
    return replace(photos, classes=classes, read_mask=_hiding(photos))


def _hiding(photos: Photos) -> Callable[[Photo], Labels]:
    read, novel = photos.read_mask, photos.classes.novel_ids

    def read_mask(photo: Photo) -> Labels:
        labels = read(photo)
        return np.where(np.isin(labels, novel), IGNORE, labels).astype(np.uint8)

    return read_mask
