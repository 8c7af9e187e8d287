"""The annotator's work as it stands now, though the editor saves it up to 5 s late.

A command that reads masks or tags must not read yesterday's: the draft that holds the very click of the
command is certainly fresh. Where none comes in time the last saved state is used, and the console says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from backends.core.errors import Unavailable
from backends.labelstudio.context import Interactive
from backends.labelstudio.drafts import Draft, freshest, latest_annotation, wait_for_draft
from backends.notices import Notices


@dataclass(frozen=True)
class Saved:
    """A result; ``is_fresh``: it is surely what the annotator sees."""

    result: Sequence[dict[str, Any]]
    is_fresh: bool


@dataclass(frozen=True)
class SavedWork:
    """Reads it out of the request, else out of Label Studio."""

    fetch_drafts: Callable[[int], Sequence[Draft]]
    """A task's drafts, those of all users; raises Unavailable."""
    notices: Notices
    wait_s: float

    def now(self, ask: Interactive, command: str) -> Saved:
        """The draft that holds this very click, else the last state known, with a notice."""
        held = freshest(ask.task.drafts, ask.trigger_id)
        if held is not None and held.holds(ask.trigger_id):
            return Saved(held.result, is_fresh=True)
        trouble: list[Unavailable] = []

        def fetch() -> Sequence[Draft]:
            try:
                return self.fetch_drafts(ask.task.id)
            except Unavailable as error:
                trouble.append(error)
                raise

        held = wait_for_draft(fetch, ask.trigger_id, self.wait_s)
        if held is not None:
            return Saved(held.result, is_fresh=True)
        self.notices.add("warning", _stale(command, trouble[-1] if trouble else None), ask.task.id)
        return Saved(at_hand(ask), is_fresh=False)


def at_hand(ask: Interactive) -> Sequence[dict[str, Any]]:
    """The work that came with the request: the asking user's last draft, else the last annotation."""
    draft = freshest(ask.task.drafts)
    return draft.result if draft is not None else latest_annotation(list(ask.task.annotations))


def _stale(command: str, trouble: Unavailable | None) -> str:
    why = (
        f"The editor's latest draft could not be read ({trouble})" if trouble else "No fresh draft was saved"
    )
    return (
        f"{why}, so {command} used the last saved state. "
        f"If something is missing, wait a few seconds and press {command} again."
    )
