"""Classes and their ids."""

from __future__ import annotations

import pytest

from backends.core.errors import BadInput
from backends.weak_shot.classes import ClassSet

PETS = ClassSet(("cat", "dog", "fish"), frozenset({"dog"}))


def test_ids_follow_the_order_of_names() -> None:
    assert [PETS.id_of(name) for name in PETS.names] == [1, 2, 3]
    assert [PETS.name_of(number) for number in range(4)] == ["background", "cat", "dog", "fish"]
    assert (PETS.base_ids, PETS.novel_ids, len(PETS)) == ((1, 3), (2,), 3)
    assert PETS.ids_of(["fish", "cat", "fish"]) == (1, 3)


def test_json_there_and_back() -> None:
    assert PETS.to_json() == {"names": ["cat", "dog", "fish"], "novel": ["dog"]}
    assert ClassSet.from_json(PETS.to_json()) == PETS
    assert ClassSet.from_json({"names": ["cat"]}) == ClassSet(("cat",))


def test_unknown_names_and_ids_are_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match="unknown class 'cow'; known: cat, dog, fish"):
        PETS.id_of("cow")
    with pytest.raises(BadInput, match="0 to 3"):
        PETS.name_of(4)


@pytest.mark.parametrize(
    ("names", "novel", "says"),
    [
        ((), (), "0 classes"),
        (("cat", ""), (), "without a name"),
        (("cat", "background"), (), "id 0"),
        (("cat", "dog", "cat"), (), "twice: cat"),
        (("cat",), ("dog",), "novel classes that are no classes: dog"),
        (tuple(f"c{i}" for i in range(255)), (), "255 classes; wants 1 to 254"),
    ],
)
def test_sets_that_make_no_sense(names: tuple[str, ...], novel: tuple[str, ...], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        ClassSet(names, frozenset(novel))


@pytest.mark.parametrize("value", [{}, {"names": "cat"}, {"names": [1]}, {"names": ["cat"], "novel": "cat"}])
def test_json_of_another_shape(value: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="wants"):
        ClassSet.from_json(value)
