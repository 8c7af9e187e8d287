"""A clip's job goes on where it stopped, with the frames in sight that the next answer looks back at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from backends.core.errors import BadInput
from backends.core.types import Clip, FrameMasks, Prompt, Segmenter
from pipelines.stopwatch import Stopwatch


@runtime_checkable
class SceneModel(Protocol):
    """A Segmenter that knows its classes and asks for no prompts; frames come in order."""

    version: str
    classes: tuple[str, ...]

    @property
    def reach(self) -> int:
        """How many frames before one can matter to its answer."""

    def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]: ...


def scene_segmenter(segmenter: Segmenter) -> SceneModel:
    """``segmenter``, when it can label scenes. Raises BadInput."""
    if not isinstance(segmenter, SceneModel):
        raise BadInput(
            f"{segmenter.version} labels no whole scenes; this job wants a model of video_semantic"
        )
    return segmenter


def rest_of(watch: Stopwatch, segmenter: SceneModel, clip: Clip, start: int) -> Iterator[FrameMasks]:
    """The frames from ``start`` on, exactly as one run over the whole clip gives them."""
    begin = max(0, start - segmenter.reach)
    for frame in watch.segment(segmenter, clip.part(begin, len(clip)), ()):
        index = begin + frame.frame_index
        if index >= start:
            yield replace(frame, frame_index=index)


def shown_or_nothing(frame: FrameMasks, label: str, size_hw: tuple[int, int]) -> FrameMasks:
    """A frame without masks as one where ``label`` is not to be seen: the ledger keeps objects on frames."""
    if frame.masks:
        return frame
    return replace(frame, masks={label: np.zeros(size_hw, np.bool_)}, confidence={label: 0.0})
