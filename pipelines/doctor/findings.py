"""What a check finds, and how checks are run: nothing raised, nothing changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from backends.core.errors import MaskLoopError
from backends.settings import Settings

OLDEST_LABEL_STUDIO = (1, 23, 2)


@dataclass(frozen=True)
class Finding:
    """One line of the report; ``fix`` is what to type or change when it failed."""

    ok: bool
    said: str
    fix: str = ""


Check = Callable[[Settings], Iterator[Finding]]


def findings(check: Check, settings: Settings) -> Iterator[Finding]:
    """The findings of one check; what it stumbles over becomes a finding too."""
    try:
        yield from check(settings)
    except MaskLoopError as error:
        yield Finding(False, str(error), "see above; the message says what would work")
    except Exception as error:  # a report of twenty lines must not end at the first surprise
        what = (check.__doc__ or check.__name__).splitlines()[0]
        yield Finding(False, f"{what}: {type(error).__name__}: {error}", "report this with the line above")


def version_tuple(text: str) -> tuple[int, ...]:
    """``(1, 23, 2)`` of "1.23.2.post1"."""
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])
