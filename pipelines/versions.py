"""``maskloop versions``, ``promote`` and ``roll-back``: which version answers, and what could."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from backends.core.errors import BadInput
from backends.registry import Registry, Version

SERVED = ("video_object", "weak_shot", "video_semantic")
"""The algorithms that are answered by the version of the registry."""


def table(registry: Registry, algorithm: str = "") -> str:
    """The versions of one algorithm, or of all; the served one has a star."""
    names = [_known(algorithm)] if algorithm else SERVED
    rows = [row for name in names for row in _rows(registry.versions(name))]
    if not rows:
        return f"no versions: train some with `maskloop train {names[0]}`"
    return "\n".join([f"  {'version':<24}  {'since':<16}  from", *rows])


def promote(registry: Registry, algorithm: str, version: str) -> str:
    """Serve ``version``; says what is served now. Raises BadInput as ``Registry.promote`` does."""
    before = _served(registry, _known(algorithm))
    now = registry.promote(algorithm, version).version
    if now == before:
        return f"{algorithm}: {now} is served already"
    return f"{algorithm}: {now} is served from the next request on (before: {before or 'none'})"


def roll_back(registry: Registry, algorithm: str) -> str:
    """Serve what was served before; says what it is. Raises BadInput when nothing was."""
    before = _served(registry, _known(algorithm))
    now = registry.roll_back(algorithm).version
    return f"{algorithm}: {now} is served again (before: {before or 'none'})"


def _rows(versions: Sequence[Version]) -> list[str]:
    return [
        f"{'*' if version.is_served else ' '} {version.name:<24}  "
        f"{datetime.fromtimestamp(version.added_at):%Y-%m-%d %H:%M}  {_origin(version)}".rstrip()
        for version in versions
    ]


def _origin(version: Version) -> str:
    if version.is_shipped:
        return "shipped with this release"
    told = [f"{key} {version.card[key]}" for key in ("project", "snapshot") if key in version.card]
    return ", ".join(told)


def _served(registry: Registry, algorithm: str) -> str:
    return next((version.name for version in registry.versions(algorithm) if version.is_served), "")


def _known(algorithm: str) -> str:
    if algorithm not in SERVED:
        raise BadInput(f"unknown algorithm {algorithm!r}; known: {', '.join(SERVED)}")
    return algorithm
