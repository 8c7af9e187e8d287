"""Instances as objects: the second dog of a picture is ``dog #2``, so that one label is one object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MOST_LABELS = 254


@dataclass
class InstanceLabels:
    """Gives labels to instances, scene by scene (a picture, or the frames of one video)."""

    categories: Sequence[str]
    """In the order of their numbers."""
    _seen: dict[tuple[Hashable, str], dict[Hashable, int]] = field(default_factory=dict)
    _most: Counter[str] = field(default_factory=Counter)

    def place(self, scene: Hashable, category: str, instance: Hashable) -> int:
        """Which of the scene's instances of this category it is, from 0; the same one keeps its place."""
        places = self._seen.setdefault((scene, category), {})
        place = places.setdefault(instance, len(places))
        self._most[category] = max(self._most[category], place + 1)
        return place

    def labels(self, keep: Iterable[str] = ()) -> tuple[str, ...]:
        """All labels that were given, first instances first; those of ``keep`` whether given or not.

        With too many of them only the first instances have labels of their own, and the others share them.
        """
        kept = set(keep)
        first = [name for name in self.categories if name in kept or self._most[name]]
        more = [instance_label(name, place) for name in first for place in range(1, self._most[name])]
        return (*first, *more) if len(first) + len(more) <= MOST_LABELS else tuple(first)


def instance_label(category: str, place: int) -> str:
    """``dog``, ``dog #2``, ``dog #3``"""
    return category if place == 0 else f"{category} #{place + 1}"


def label_of(category: str, place: int, labels: Mapping[str, object]) -> str:
    """The instance's own label where there is one, else its category's."""
    own = instance_label(category, place)
    return own if own in labels else category
