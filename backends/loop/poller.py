"""The thread that looks at projects: every few minutes, and soon after Label Studio told of a change.

A webhook is a reason to look, never a fact. A lost one costs minutes, one that comes twice costs nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from backends.loop.triggers import Triggers
from backends.notices import Event

log = logging.getLogger(__name__)

EVERY_S = 300.0
"""How often each project is looked at when no webhook comes."""

SOON_S = 2.0
"""A webhook comes while Label Studio still writes."""

LEAST_S = 5.0
LEAST_SHARE = 20.0
"""Between two looks at one project, however many webhooks come: seconds, and times as long as a look took.

Each look lists the project's tasks, so those of a large one are rarer.
"""

START = "START_TRAINING"
_WAKING = frozenset(
    {"ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED", "ANNOTATIONS_DELETED"}
)


class Poller:
    """Looks when it is time. :meth:`heard` and :meth:`wake` may be called from any thread, return at once."""

    def __init__(
        self,
        triggers: Triggers,
        *,
        every_s: float = EVERY_S,
        least_s: float = LEAST_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._triggers = triggers
        self._every_s, self._least_s = every_s, least_s
        self._clock = clock
        self._look_at: dict[int, float] = {}  # project -> when
        self._not_before: dict[int, float] = {}
        self._list_at = float("-inf")  # when to see which projects there are
        self._pressed: deque[int] = deque(maxlen=100)
        self._changed = threading.Condition()
        self._ends = False
        self._thread = threading.Thread(target=self._run, name="triggers", daemon=True)

    def heard(self, event: Event) -> None:
        """A webhook delivery."""
        if event.project_id is None or event.project_id < 1:
            return
        if event.action == START:
            with self._changed:
                self._pressed.append(event.project_id)
                self._changed.notify()
        elif event.action in _WAKING:
            self.wake(event.project_id)

    def wake(self, project_id: int) -> None:
        """Look at a project soon."""
        with self._changed:
            soon = self._clock() + SOON_S
            self._plan(project_id, max(soon, self._not_before.get(project_id, soon)))

    def start(self) -> threading.Thread:
        """Look from a thread of its own until :meth:`end`."""
        self._thread.start()
        return self._thread

    def end(self) -> None:
        """Let the thread end after what it is at."""
        with self._changed:
            self._ends = True
            self._changed.notify()

    def step(self) -> float:
        """Do all that is due now; returns the seconds until something is due again."""
        self._act()
        with self._changed:
            return self._idle_s()

    def _act(self) -> None:
        while self._pressed:
            self._triggers.pressed(self._pressed.popleft())
        now = self._clock()
        if now >= self._list_at:
            self._list_at = now + self._every_s
            for project_id in self._triggers.projects():
                self._plan(project_id, now)
        for project_id in self._take(now):
            begun = self._clock()
            verdict = self._triggers.look(project_id, now)
            ended = self._clock()
            self._not_before[project_id] = ended + max(self._least_s, LEAST_SHARE * (ended - begun))
            if verdict.wait_s is not None:
                self._plan(project_id, now + max(verdict.wait_s, 0.1))

    def _idle_s(self) -> float:
        return max(0.0, min([self._list_at, *self._look_at.values()]) - self._clock())

    def _plan(self, project_id: int, at: float) -> None:
        with self._changed:
            self._look_at[project_id] = min(at, self._look_at.get(project_id, at))
            self._changed.notify()

    def _take(self, now: float) -> list[int]:
        """The projects whose time has come, taken off the plan."""
        with self._changed:
            found = sorted(project for project, at in self._look_at.items() if at <= now)
            for project_id in found:
                del self._look_at[project_id]
        return found

    def _run(self) -> None:
        while not self._ends:
            least_s = 0.0
            try:
                self._act()
            except Exception:  # the thread has nobody to raise to, and must go on
                log.exception("looking for new work stopped short")
                least_s = self._every_s
            with self._changed:
                if not self._pressed and not self._ends:
                    self._changed.wait(max(self._idle_s(), least_s))
        self._triggers.ledger.close()
