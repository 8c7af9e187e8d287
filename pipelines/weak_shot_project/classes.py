"""What a project's photos are good for: base and novel classes, and the label map of each photo.

Pure: photos in, decisions out. Two rules keep novel pixels out of what trains as base truth. A photo on which
anyone saw a novel class gives no background: wherever no base class is painted, its map is 255. And wherever
the masks do not cover everything that is said to be in the picture, unpainted pixels are 255 as well.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadInput
from backends.weak_shot.classes import BACKGROUND, IGNORE, ClassSet
from pipelines.export.annotations import TaskWork
from pipelines.export.tasks import TooLittle

Role = Literal["base", "novel", "left out"]

_EVERYWHERE = 0.95  # share of the photos from which on a tag tells a classifier nothing


@dataclass(frozen=True)
class Enough:
    """What is wanted at least, counted in photos that train (not in those held out)."""

    base_photos: int = 10
    """Photos whose masks are whole and that carry no novel class."""
    masks: int = 3
    """Photos with a painted or corrected mask of a class, for it to be a base class."""
    tags: int = 10
    """Photos with a tag of a class, for it to be a novel class."""


@dataclass(frozen=True)
class ProjectPhoto:
    """One task's picture with the work on it."""

    name: str
    image: Path
    size_hw: tuple[int, int]
    is_held_out: bool
    work: TaskWork
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Count:
    """One class in numbers of training photos."""

    painted: int  # with a mask that a person drew or corrected
    accepted: int  # with nothing but proposals left as they were
    tagged: int  # on which it is said to be, masks included

    def __str__(self) -> str:
        accepted = f" (+{self.accepted} accepted)" if self.accepted else ""
        return f"{self.painted} with masks{accepted}, {self.tagged} with tags"


@dataclass(frozen=True)
class Decision:
    """Which classes are which. ``classes`` holds base and novel ones; the rest is left out."""

    classes: ClassSet
    counts: Mapping[str, Count]
    roles: Mapping[str, Role]
    base_photos: int
    notes: tuple[str, ...]


def decide(
    photos: Sequence[ProjectPhoto],
    names: Sequence[str],
    enough: Enough | None = None,
    novel: Collection[str] = (),
) -> Decision:
    """Tell base from novel classes; ``names`` are the brush's labels in order.

    A class with enough painted masks is base, else with enough tags it is novel, else it is left out.
    ``novel`` names classes that are novel whatever is painted of them. Raises TooLittle when there is no base
    class, no novel class or too few base photos, BadInput for an unknown name in ``novel``.
    """
    wanted = enough or Enough()
    if unknown := sorted(set(novel) - set(names)):
        raise BadInput(f"no such class: {', '.join(unknown)}; this project has {', '.join(names)}")
    training = [photo for photo in photos if not photo.is_held_out]
    counts = {name: _count(name, training) for name in names}
    roles = {name: _role(counts[name], name in novel, wanted) for name in names}
    kept = tuple(name for name in names if roles[name] != "left out")
    held_out = len(photos) - len(training)
    told = _told(counts, roles, held_out)
    if not any(role == "base" for role in roles.values()):
        raise TooLittle(
            f"no base class: wants at least one class with {wanted.masks} photos with painted masks. {told}"
        )
    if not any(role == "novel" for role in roles.values()):
        raise TooLittle(
            f"no novel class: wants at least one class with {wanted.tags} photos that are tagged with it and "
            f"fewer than {wanted.masks} with painted masks (or name it with --novel). {told}"
        )
    classes = ClassSet(kept, frozenset(name for name in kept if roles[name] == "novel"))
    base_photos = sum(is_base(photo, classes) for photo in training)
    if base_photos < wanted.base_photos:
        raise TooLittle(
            f"too few base photos: {base_photos}, wants {wanted.base_photos} on which everything that is "
            f"tagged is painted and no novel class is tagged. {told}"
        )
    return Decision(classes, counts, roles, base_photos, _notes(counts, roles, wanted, len(training)))


def is_base(photo: ProjectPhoto, classes: ClassSet) -> bool:
    """Whether the photo's masks are whole and no novel class is on it: its background is background."""
    return _is_whole(photo) and not classes.novel.intersection(photo.tags)


def label_map(photo: ProjectPhoto, classes: ClassSet) -> NDArray[np.uint8] | None:
    """(H, W) uint8 class ids with the rest 0 or 255, or None when no class that may be shown is painted.

    Shown are base classes; of photos that are held out, for scoring, novel ones too. Where two overlap, the
    one painted later is seen, as in the editor. All other painted pixels are 255 whatever lies over them.
    """
    opinion = photo.work.mask_opinion
    ids = range(1, len(classes) + 1) if photo.is_held_out else classes.base_ids
    shown = {classes.name_of(i): i for i in ids}
    if opinion is None or not any(mask.label in shown for mask in opinion.masks):
        return None
    has_background = _is_whole(photo) if photo.is_held_out else is_base(photo, classes)
    labels = np.full(photo.size_hw, BACKGROUND if has_background else IGNORE, np.uint8)
    for saved in opinion.masks:
        if saved.label in shown:
            labels[saved.mask] = shown[saved.label]
    for other in photo.work.opinions:  # also what only the other annotator painted
        for saved in other.masks:
            if saved.label not in shown:
                labels[saved.mask] = IGNORE
    return labels


def _is_whole(photo: ProjectPhoto) -> bool:
    opinion = photo.work.mask_opinion
    return opinion is not None and not opinion.lacks_masks and opinion.painted.issuperset(photo.tags)


def _count(name: str, photos: Sequence[ProjectPhoto]) -> Count:
    painted = accepted = tagged = 0
    for photo in photos:
        opinion = photo.work.mask_opinion
        origins = {mask.origin for mask in opinion.masks if mask.label == name} if opinion else set()
        painted += bool(origins - {"accepted"})
        accepted += origins == {"accepted"}
        tagged += name in photo.tags
    return Count(painted, accepted, tagged)


def _role(count: Count, is_named_novel: bool, wanted: Enough) -> Role:
    if count.painted >= wanted.masks and not is_named_novel:
        return "base"
    return "novel" if count.tagged >= wanted.tags else "left out"


def _told(counts: Mapping[str, Count], roles: Mapping[str, Role], held_out: int) -> str:
    lines = [f"{name}: {count} ({roles[name]})" for name, count in counts.items()]
    more = f"; {held_out} photos more are held out" if held_out else ""
    return f"Photos per class: {'; '.join(lines)}{more}"


def _notes(
    counts: Mapping[str, Count], roles: Mapping[str, Role], wanted: Enough, n_photos: int
) -> tuple[str, ...]:
    notes = []
    for name, count in counts.items():
        if roles[name] == "left out":
            notes.append(
                f"class {name!r} is left out: {count}; wants {wanted.masks} with masks or {wanted.tags} "
                "with tags"
            )
        elif roles[name] == "novel" and count.painted:
            notes.append(f"class {name!r} is novel: its {count.painted} painted masks count as tags only")
        if roles[name] == "novel" and count.tagged >= _EVERYWHERE * n_photos:
            notes.append(
                f"class {name!r} is on {count.tagged} of {n_photos} photos: tags that are everywhere do not "
                "show where; add photos without it"
            )
    return tuple(notes)
