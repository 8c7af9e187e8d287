"""A segmenter of a few lines and a worker that uses it, for tests where the accuracy does not matter.

``python -m tests.stand_in`` is the real worker with only the model exchanged. The environment sets the scene:
``STAND_IN_FRAME_S`` seconds per frame; ``STAND_IN_DIE_AT`` and ``STAND_IN_HANG_AT`` frame numbers.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from backends.core.types import Clip, FrameMasks, Mask, MaskPrompt, Prompt, TagPrompt
from backends.ledger import Ledger
from backends.settings import Settings
from pipelines import worker
from pipelines.working.collaborators import Collaborators, build

VERSION = "stand_in-00000000"


@dataclass(frozen=True)
class StandIn:
    """Moves each object by what the frame says, forward from its nearest given mask, else backward."""

    frame_s: float = 0.0
    die_at: int = -1
    hang_at: int = -1
    version: str = VERSION
    classes: tuple[str, ...] = ("sky", "road", "car")
    reach: int = 1

    def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        if not prompts:
            yield from self._scene(clip)
            return
        if any(isinstance(p, TagPrompt) for p in prompts):
            yield from self._tagged(clip, prompts)
            return
        given = {(p.object_id, p.frame_index): p for p in prompts if isinstance(p, MaskPrompt)}
        names = sorted({name for name, _ in given})
        state: dict[str, Mask] = {}
        for index in range(len(clip)):
            self._act(int(clip.names[index]))
            step = int(clip.frames[index][0, 0, 0]) % 4
            for name in names:
                state[name] = self._mask(name, index, step, given, state)
            anchors = frozenset(n for n in names if (n, index) in given and given[n, index].is_anchor)
            yield FrameMasks(index, dict(state), dict.fromkeys(names, 0.9), anchors)

    def _tagged(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """A square for each tag; the picture's first pixel says where and how sure."""
        self._act(int(clip.names[0].split("-")[0]))
        seed = int(clip.frames[0][0, 0, 0])
        masks, trust = {}, {}
        for number, prompt in enumerate(p for p in prompts if isinstance(p, TagPrompt)):
            mask = np.zeros(clip.size_hw, np.bool_)
            mask[2 + seed % 8 : 10 + seed % 8, 2 + 12 * number : 10 + 12 * number] = True
            masks[prompt.object_id], trust[prompt.object_id] = mask, round((seed % 10) / 10 + 0.05, 2)
        yield FrameMasks(0, masks, trust, notes=("squares, as ever",))

    def _scene(self, clip: Clip) -> Iterator[FrameMasks]:
        """Sky above, road below, and a car where this frame and the one before say."""
        before = 0
        for index in range(len(clip)):
            self._act(int(clip.names[index]))
            now = int(clip.frames[index][0, 0, 0]) % 8
            names = np.zeros(clip.size_hw, np.uint8)
            names[12:] = 1
            names[14:20, 2 + now + before : 10 + now + before] = 2
            before = now
            yield FrameMasks(
                index, {name: names == number for number, name in enumerate(self.classes)}, {"car": 0.5}
            )

    def _act(self, number: int) -> None:
        time.sleep(self.frame_s)
        if number == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        while number == self.hang_at:
            time.sleep(1)

    @staticmethod
    def _mask(
        name: str, index: int, step: int, given: dict[tuple[str, int], MaskPrompt], state: dict[str, Mask]
    ) -> Mask:
        if (name, index) in given:
            return given[name, index].mask
        if name in state:
            return np.roll(state[name], step, axis=1)
        return given[name, min(t for owner, t in given if owner == name)].mask


def build_stand_in(settings: Settings, ledger: Ledger, name: str) -> Collaborators:
    """The real collaborators with the stand-in for a model."""
    segmenter = StandIn(
        float(os.environ.get("STAND_IN_FRAME_S", "0")),
        int(os.environ.get("STAND_IN_DIE_AT", "-1")),
        int(os.environ.get("STAND_IN_HANG_AT", "-1")),
    )
    return replace(build(settings, ledger, name), segmenter=lambda _: segmenter, warm=lambda: VERSION)


if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1:], build_stand_in))
