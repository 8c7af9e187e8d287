"""The photos of a run as training reads them: small, in memory, with the masks that a run may use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadInput
from backends.core.images import image_size
from backends.core.types import Image
from backends.weak_shot.labels import Labels
from backends.weak_shot.photos import Photo, Photos
from backends.weak_shot.pictures import Shelf, reduced, reduced_labels, reduced_size

Masks = Literal["photos", "objects"]


@dataclass(frozen=True)
class Album:
    """``photos`` at no longer side than ``long_side_px``; no mask it gives to training shows novel pixels."""

    photos: Photos
    long_side_px: int
    shelf: Shelf = field(repr=False)

    @property
    def n(self) -> int:
        """Number of classes without the background."""
        return len(self.photos.classes)

    @property
    def tagged(self) -> tuple[Photo, ...]:
        """Training photos that a classifier can learn from."""
        return tuple(photo for photo in self.photos.train if photo.tags)

    def image(self, photo: Photo) -> Image:
        """(h, w, 3) uint8 RGB."""
        found = self.shelf.get(
            (photo.name, "image"), lambda: reduced(self.photos.image(photo), self.long_side_px)
        )
        return np.asarray(found, np.uint8)

    def size(self, photo: Photo) -> tuple[int, int]:
        """(h, w) of its picture here, from the file's header."""
        return reduced_size(image_size(photo.image_path), self.long_side_px)

    def base_truth(self, photo: Photo) -> Labels:
        """(h, w) labels of a base photo. Raises BadInput for a photo with a novel tag."""
        return self._labels(photo, "base")

    def objects(self, photo: Photo) -> Labels:
        """(h, w) labels of the base objects of any photo with a mask; everything else 255."""
        return self._labels(photo, "objects")

    def oracle(self, photo: Photo) -> Labels:
        """(h, w) labels with novel classes, for the oracle alone."""
        return self._labels(photo, "all")

    def known(self, photo: Photo, masks: Masks) -> Labels | None:
        """What training may see of the mask: all of a base photo's, base objects of others, or None."""
        if self.photos.is_base(photo):
            return self.base_truth(photo)
        if masks == "objects" and photo.mask_path is not None:
            return self.objects(photo)
        return None

    def tags(self, photo: Photo) -> NDArray[np.float32]:
        """(n,) float32 of 0 and 1."""
        found = np.zeros(self.n, np.float32)
        found[[number - 1 for number in self.photos.tag_ids(photo)]] = 1
        return found

    def _labels(self, photo: Photo, kind: str) -> Labels:
        readers = {
            "base": self.photos.base_truth,
            "objects": self.photos.partial_truth,
            "all": self.photos.truth,
        }

        def read() -> Labels:
            labels = readers[kind](photo)
            return reduced_labels(labels, reduced_size(labels.shape, self.long_side_px))

        return np.asarray(self.shelf.get((photo.name, kind), read), np.uint8)


def fingerprint(photos: Sequence[Photo]) -> str:
    """A name for exactly these photos with exactly these tags; what is in their files is not looked at."""
    told = [[p.name, list(p.tags), p.mask_path is not None] for p in photos]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


def untold(photos: Photos) -> dict[str, str]:
    """Classes that tags say nothing about, and why: a response needs photos with and without the class."""
    total, found = len(photos.train), {}
    for name in photos.classes.names:
        count = sum(name in photo.tags for photo in photos.train)
        if count == 0:
            found[name] = "no training photo has this tag"
        elif count == total:
            found[name] = f"all {total} training photos have this tag; add photos without it"
    return found


def check(photos: Photos, masks: Masks, *, taught: bool) -> list[str]:
    """Notes for the person; raises BadInput when training cannot succeed.

    ``taught``: boundary and affinity networks come trained, so that no masks of base photos are needed.
    """
    if not photos.train:
        raise BadInput("no training photos")
    if not photos.classes.novel:
        raise BadInput("no novel class: every class has masks; train a segmentation network instead")
    lending = len(photos.base_images)
    if masks == "objects":
        lending = sum(photo.mask_path is not None for photo in photos.train)
    if not lending and not taught:
        raise BadInput(
            f"no base masks: of {len(photos.train)} photos none has a mask and no tag of a novel class "
            f"({', '.join(sorted(photos.classes.novel))}); add some, or start from weights whose boundary "
            "and affinity networks are trained (--start-from)"
        )
    silent = untold(photos)
    lost = {name: why for name, why in silent.items() if name in photos.classes.novel}
    if lost and set(lost) == photos.classes.novel:
        told = "; ".join(f"{name}: {why}" for name, why in lost.items())
        raise BadInput(f"tags give no signal for any novel class: {told}")
    return [f"class {name}: tags give no signal, {why}" for name, why in silent.items()]
