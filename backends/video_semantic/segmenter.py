"""The room's face: a clip in, a mask for every class that a frame shows, with its confidence, out.

Frames come in order. One that cannot be read comes back without masks and with the reason as a note; the
others go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from backends.core.errors import BadMedia
from backends.core.types import Clip, FrameMasks, Prompt
from backends.video_semantic.reader import Answer, ClipReader
from backends.video_semantic.weights_file import SceneWeights, load_weights


class SceneSegmenter:
    """A Segmenter that needs no prompts: it knows its classes."""

    def __init__(self, weights: SceneWeights, version: str, device: str = "cpu") -> None:
        self.version = version
        self.classes = weights.classes
        self._weights, self._device = weights, device

    @property
    def reach(self) -> int:
        """How many frames before one can matter to its answer."""
        return self._reader().reach

    def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """Every frame once, in frame order, with a mask for each class that it shows.

        The masks of a frame do not overlap and cover it. Raises BadMedia when no frame can be used.
        """
        reader = self._reader()
        troubles: list[str] = []
        for index in range(len(clip)):
            try:
                answer = reader.push(clip.frames[index])
            except BadMedia as error:
                troubles.append(str(error))
                if len(troubles) == len(clip):
                    raise BadMedia(f"none of {len(clip)} frames can be used: {troubles[0]}") from error
                yield FrameMasks(index, {}, {}, notes=(f"page {index + 1} has no masks: {error}",))
            else:
                yield self._masks(index, answer)

    def _masks(self, index: int, answer: Answer) -> FrameMasks:
        shown = {name: number for number, name in enumerate(self.classes) if (answer.labels == number).any()}
        masks = {name: np.asarray(answer.labels == number, np.bool_) for name, number in shown.items()}
        sure = {name: float(answer.confidence[number]) for name, number in shown.items()}
        return FrameMasks(
            index, masks, {name: value if value == value else 0.0 for name, value in sure.items()}
        )

    def _reader(self) -> ClipReader:
        return ClipReader(self._weights, self._device)


def load(weights: Path, *, device: str, threads: int, version: str) -> SceneSegmenter:
    """The segmenter of a weights file, ready to answer. Raises BadInput for one that cannot be used."""
    if threads:
        torch.set_num_threads(threads)
    return SceneSegmenter(load_weights(weights), version, device)
