"""The lowest floor: the given mask copied to every frame. Whatever learns must beat it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backends.core.types import Clip, FrameMasks, Mask, Prompt
from backends.video_object.memory import Given


class FirstMaskCopied:
    """A Segmenter that looks at no frame: each object stays where it was last given."""

    version = "first mask copied"

    def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """Frames in order; before an object's first mask its first mask holds. Raises like any segmenter."""
        return self._frames(len(clip), Given.of(clip, prompts))

    def _frames(self, length: int, given: Given) -> Iterator[FrameMasks]:
        for frame in range(length):
            masks = {name: _mask_at(given, slot, frame) for slot, name in enumerate(given.objects)}
            anchors = frozenset(given.anchors_on(frame))
            yield FrameMasks(frame, masks, {name: float(name in anchors) for name in masks}, anchors)


def _mask_at(given: Given, slot: int, frame: int) -> Mask:
    frames = given.frames_of(slot)
    behind = [t for t in frames if t <= frame]
    return given.by_frame[behind[-1] if behind else frames[0]][slot].mask
