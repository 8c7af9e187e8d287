"""Settings of a training from JSON: frozen dataclasses, nested, with every unknown name refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, TypeVar, cast

from backends.core.errors import BadInput

T = TypeVar("T")


def config_from(kind: type[T], values: Mapping[str, Any]) -> T:
    """Build ``kind``, a frozen dataclass whose fields all have defaults, from JSON values.

    Lists become tuples; fields that are dataclasses take mappings. Raises BadInput for an unknown name, with
    the list of known ones, and for a mapping or none where the other is wanted.
    """
    return cast(T, _build(kind, values, ""))


def _build(kind: type[Any], values: Mapping[str, Any], where: str) -> Any:
    default = kind()
    known = asdict(default)
    given: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise BadInput(f"unknown training setting {where}{name!r}; known: {', '.join(sorted(known))}")
        current = getattr(default, name)
        if is_dataclass(current):
            if not isinstance(value, Mapping):
                raise BadInput(f"training setting {where}{name!r} wants a JSON object, got {value!r}")
            value = _build(type(current), value, f"{name}.")
        elif isinstance(current, tuple):
            value = tuple(value)
        given[name] = value
    return kind(**given)
