"""``maskloop versions``, ``promote`` and ``roll-back``: which version answers, and what could."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime

from backends.core.errors import BadInput, SetupFault
from backends.loop.folder import ProjectFolder
from backends.pointers import ALL
from backends.registry import Registry, Version
from backends.settings import Settings

SERVED = ("video_object", "weak_shot", "video_semantic")
"""The algorithms that are answered by the version of the registry."""


def table(registry: Registry, algorithm: str = "", project: int = ALL) -> str:
    """The versions of one algorithm, or of all; a star stands where all, or the ``project``, are answered."""
    names = [_known(algorithm)] if algorithm else SERVED
    rows = [row for name in names for row in _rows(registry, name, project)]
    if not rows:
        return f"no versions: train some with `maskloop train {names[0]}`"
    rows.insert(0, (" ", "version", "since", "served to", "from"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def promote(registry: Registry, algorithm: str, version: str, project: int = ALL) -> str:
    """Serve ``version``; says what is served now. Raises BadInput as ``Registry.promote`` does."""
    own = registry.pointers(_known(algorithm))
    before = _served(registry, algorithm, project)
    now = registry.promote(algorithm, version, project).version
    where, kept = _where(algorithm, project), _kept(own, project)
    if now == before and project in own:
        return f"{where}: {now} is served already"
    if now == before:
        return f"{where}: {now} stays, as its own: it is served whatever the others get from now on"
    return f"{where}: {now} is served from the next request on (before: {before or 'none'}){kept}"


def roll_back(registry: Registry, algorithm: str, project: int = ALL) -> str:
    """Serve what was served before; says what it is. Raises BadInput when nothing was."""
    before = _served(registry, _known(algorithm), project)
    now = registry.roll_back(algorithm, project).version
    own = registry.pointers(algorithm)
    also = "" if project in own else ", as everywhere without a version of its own"
    where = _where(algorithm, project)
    return f"{where}: {now} is served again{also} (before: {before or 'none'}){_kept(own, project)}"


def answer_waiting(settings: Settings, algorithm: str, project: int) -> None:
    """Where the project's newest run waits for a yes to what is served there now, that was the yes."""
    folder = ProjectFolder(settings.data_dir, project)
    waiting = folder.waiting()
    served = _served(Registry(settings.models_dir), algorithm, project)
    if waiting is not None and (waiting.algorithm, waiting.candidate) == (algorithm, served):
        folder.answer(waiting.name, "promoted", by="command line")


def _kept(own: Iterable[int], project: int) -> str:
    """Who is not reached by a change for all; empty when it is a change for one."""
    others = ", ".join(str(number) for number in own if number != ALL)
    return f"; unchanged where a project has its own: {others}" if others and project == ALL else ""


def _rows(registry: Registry, algorithm: str, project: int) -> list[tuple[str, ...]]:
    now = _served(registry, algorithm, project)
    rest = "the others" if any(registry.pointers(algorithm)) else "all"
    return [
        (
            "*" if version.name == now else " ",
            version.name,
            f"{datetime.fromtimestamp(version.added_at):%Y-%m-%d %H:%M}",
            _projects(version.served_to, rest),
            _origin(version),
        )
        for version in registry.versions(algorithm)
    ]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    star, *cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return f"{star} {'  '.join(cells)}".rstrip()


def _projects(served_to: Sequence[int], rest: str) -> str:
    """``(0, 7, 12)`` -> ``7, 12, the others``."""
    named = [str(project) for project in served_to if project != ALL]
    return ", ".join([*named, rest] if ALL in served_to else named)


def _origin(version: Version) -> str:
    if version.is_shipped:
        return "shipped with this release"
    told = [f"{key} {version.card[key]}" for key in ("project", "snapshot") if key in version.card]
    return ", ".join(told)


def _served(registry: Registry, algorithm: str, project: int) -> str:
    """The version that a project is answered by; empty when there is none. Raises BadInput for no project."""
    with suppress(SetupFault):
        return registry.served(algorithm, project).version
    return ""


def _where(algorithm: str, project: int) -> str:
    return algorithm if project == ALL else f"{algorithm} in project {project}"


def _known(algorithm: str) -> str:
    if algorithm not in SERVED:
        raise BadInput(f"unknown algorithm {algorithm!r}; known: {', '.join(SERVED)}")
    return algorithm
