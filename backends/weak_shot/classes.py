"""Which classes there are, which have masks (base) and which have image tags only (novel)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from backends.core.errors import BadInput

BACKGROUND = 0  # the id of what belongs to no class
IGNORE = 255  # the id of pixels that neither train nor count
MOST = 254  # ids 1..254 are left for classes


@dataclass(frozen=True)
class ClassSet:
    """The classes in the order of their ids: ``names[0]`` is class 1; background is 0, ignored pixels 255.

    Raises BadInput for no class, a class without a name or twice, more than 254, and a novel class that is
    not among the names.
    """

    names: tuple[str, ...]
    novel: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= MOST:
            raise BadInput(f"{len(self.names)} classes; wants 1 to {MOST}")
        for name in self.names:
            if not name.strip():
                raise BadInput("a class without a name; give each class a name of its own")
            if name == "background":
                raise BadInput("the class 'background' is there already, as id 0; leave it out")
        if twice := sorted({name for name in self.names if self.names.count(name) > 1}):
            raise BadInput(f"classes named twice: {', '.join(twice)}")
        if unknown := sorted(self.novel - set(self.names)):
            raise BadInput(f"novel classes that are no classes: {', '.join(unknown)}; {self._known()}")

    def __len__(self) -> int:
        """The number of classes without the background."""
        return len(self.names)

    def id_of(self, name: str) -> int:
        """1..n. Raises BadInput naming the known classes."""
        try:
            return self.names.index(name) + 1
        except ValueError:
            raise BadInput(f"unknown class {name!r}; {self._known()}") from None

    def name_of(self, number: int) -> str:
        """The name of an id; 0 is ``background``. Raises BadInput for an id without a class."""
        if number == BACKGROUND:
            return "background"
        if not 1 <= number <= len(self.names):
            raise BadInput(f"no class has the id {number}; the ids are 0 to {len(self.names)}")
        return self.names[number - 1]

    def ids_of(self, names: Iterable[str]) -> tuple[int, ...]:
        """Ids in ascending order, each once. Raises BadInput as :meth:`id_of` does."""
        return tuple(sorted({self.id_of(name) for name in names}))

    @property
    def base_ids(self) -> tuple[int, ...]:
        """Classes whose masks may be used, ascending, without the background."""
        return tuple(i for i, name in enumerate(self.names, start=1) if name not in self.novel)

    @property
    def novel_ids(self) -> tuple[int, ...]:
        """Classes of which only image tags may be used, ascending."""
        return tuple(i for i, name in enumerate(self.names, start=1) if name in self.novel)

    def to_json(self) -> dict[str, Any]:
        """``{"names": [...], "novel": [...]}``; the order of names is the order of ids."""
        return {"names": list(self.names), "novel": [name for name in self.names if name in self.novel]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ClassSet:
        """Inverse of :meth:`to_json`. Raises BadInput for anything else."""
        return cls(_words(value, "names"), frozenset(_words({"novel": [], **value}, "novel")))

    def _known(self) -> str:
        return f"known: {', '.join(self.names)}"


def _words(value: Mapping[str, Any], key: str) -> tuple[str, ...]:
    words = value.get(key)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise BadInput('classes: wants {"names": [class, ...], "novel": [class, ...]}')
    return tuple(words)
