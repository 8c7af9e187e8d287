"""Tagged photos, some with masks: what weak-shot training and scoring read, whatever folder it comes from.

Two readers of masks stand here on purpose. Training calls :meth:`Photos.base_truth`, which cannot show a
pixel of a novel class; :meth:`Photos.truth` shows all and is for the metric and the oracle alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadInput, BadMask
from backends.core.images import image_size, open_image
from backends.core.types import Image
from backends.weak_shot.classes import BACKGROUND, IGNORE, ClassSet

Labels = NDArray[np.uint8]  # (H, W): 0 = background, 1..n = class, 255 = ignore


@dataclass(frozen=True)
class Photo:
    """One photo: ``name`` is unique in its set, ``tags`` name the classes that are in it, sorted as given."""

    name: str
    image_path: Path
    mask_path: Path | None
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Photos:
    """Photos to learn from (``train``) and photos to score on (``held_out``), over the same classes.

    ``read_mask`` turns a photo's mask file into class ids; each folder layout brings its own. ``notes`` say,
    in words, what was left out.
    """

    classes: ClassSet
    train: tuple[Photo, ...]
    held_out: tuple[Photo, ...]
    read_mask: Callable[[Photo], Labels] = field(repr=False)
    layout: str = ""
    fold: int = 0
    notes: tuple[str, ...] = ()

    def image(self, photo: Photo) -> Image:
        """(H, W, 3) uint8 RGB as a viewer shows it. Raises BadMedia."""
        return open_image(photo.image_path)

    def is_novel(self, photo: Photo) -> bool:
        """Whether the photo carries the tag of a novel class, so that no pixel label of it may train."""
        return any(tag in self.classes.novel for tag in photo.tags)

    def is_base(self, photo: Photo) -> bool:
        """Whether the photo's mask may train: it has one and carries no novel tag."""
        return photo.mask_path is not None and not self.is_novel(photo)

    @property
    def base_images(self) -> tuple[Photo, ...]:
        """The training photos whose masks may be used."""
        return tuple(photo for photo in self.train if self.is_base(photo))

    @property
    def novel_images(self) -> tuple[Photo, ...]:
        """The training photos that carry a novel tag."""
        return tuple(photo for photo in self.train if self.is_novel(photo))

    def truth(self, photo: Photo) -> Labels:
        """(H, W) uint8 class ids, novel ones included: for the metric and the oracle only.

        Raises BadMask for a missing or broken mask, one of another size than its photo, and an unknown id.
        """
        if photo.mask_path is None:
            raise BadMask(f"{photo.image_path}: this photo has no mask")
        labels = self.read_mask(photo)
        height, width = image_size(photo.image_path)
        if labels.shape != (height, width):
            raise BadMask(
                f"{photo.mask_path}: {labels.shape[1]}x{labels.shape[0]} pixels; "
                f"its photo has {width}x{height}"
            )
        odd = labels[(labels > len(self.classes)) & (labels != IGNORE)]
        if odd.size:
            raise BadMask(
                f"{photo.mask_path}: class id {int(odd.max())}; "
                f"the ids are 0 to {len(self.classes)}, and 255 for pixels to ignore"
            )
        return labels

    def base_truth(self, photo: Photo) -> Labels:
        """The mask of a base photo, (H, W) uint8, with every pixel of a novel class set to 255.

        Masks can show more than the tags name: with the tags of their XML files, some base photos of Pascal
        VOC hold novel objects. Raises BadInput for a photo with a novel tag, whose mask may not be used at
        all (even a hole of ignored pixels shows an outline), and BadMask as :meth:`truth` does.
        """
        if self.is_novel(photo):
            raise BadInput(
                f"{photo.name}: carries a tag of a novel class ({self._novel_tags(photo)}), "
                "so its mask may not train"
            )
        return self._without(self.truth(photo), self.classes.novel_ids)

    def partial_truth(self, photo: Photo) -> Labels:
        """Base classes where any photo's mask shows them, (H, W) uint8; **all** other pixels are 255.

        Usable for photos with novel tags too: background and novel pixels are ignored alike, as where a
        person painted the base classes and nothing else, so no outline of a novel object shows against the
        background. In base photos the background is ignored as well; use :meth:`base_truth` there.
        """
        return self._without(self.truth(photo), (BACKGROUND, *self.classes.novel_ids))

    def tag_ids(self, photo: Photo) -> tuple[int, ...]:
        """The ids of the photo's tags, ascending. Raises BadInput for an unknown one."""
        return self.classes.ids_of(photo.tags)

    def for_choosing(self, parts: int = 6) -> Photos:
        """The training photos alone, the last ``1/parts`` of each group held out, to choose settings on.

        A group is what shares a photo's name up to the last slash (a sequence), or all photos without one.
        The set's own held-out photos are not in it, so nothing is chosen on what is reported.
        """
        groups: dict[str, list[Photo]] = {}
        for photo in self.train:
            groups.setdefault(photo.name.rpartition("/")[0], []).append(photo)
        train: list[Photo] = []
        held_out: list[Photo] = []
        for group in groups.values():
            cut = len(group) - len(group) // parts
            train += group[:cut]
            held_out += group[cut:]
        return replace(self, train=tuple(train), held_out=tuple(held_out))

    @staticmethod
    def _without(labels: Labels, ids: Iterable[int]) -> Labels:
        kept = labels.copy()
        kept[np.isin(labels, tuple(ids))] = IGNORE
        return kept

    def _novel_tags(self, photo: Photo) -> str:
        return ", ".join(tag for tag in photo.tags if tag in self.classes.novel)


def table_reader(table: NDArray[np.uint8], read: Callable[[Path], Labels]) -> Callable[[Photo], Labels]:
    """A mask reader that maps a file's numbers to class ids through ``table`` (256,) uint8."""

    def read_mask(photo: Photo) -> Labels:
        if photo.mask_path is None:
            raise BadMask(f"{photo.image_path}: this photo has no mask")
        return table[read(photo.mask_path)]

    return read_mask
