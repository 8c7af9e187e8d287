"""The room's face: pictures and tags in, one mask per tag with its trust out.

Tags that the weights do not know are told and left out; the others go on. A class that is not found comes
back with an empty mask and the low trust it was given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from backends.core.errors import BadInput
from backends.core.types import BoxPrompt, Clip, FrameMasks, Image, Prompt, TagPrompt
from backends.weak_shot.labeller import Labeller
from backends.weak_shot.weights_file import load as load_bundle

Boxes = dict[str, tuple[float, float, float, float]]


class TagSegmenter:
    """A Segmenter whose prompts are tags, and boxes that say where a class is."""

    def __init__(self, labeller: Labeller, version: str) -> None:
        self.version = version
        self._labeller = labeller

    def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """One FrameMasks per frame that has prompts, in frame order.

        Raises BadInput when no tag of a frame is known to the weights, BadMedia for a frame that cannot be
        read.
        """
        for index in sorted({prompt.frame_index for prompt in prompts}):
            here = [prompt for prompt in prompts if prompt.frame_index == index]
            boxes: Boxes = {
                p.object_id: (p.x0_px, p.y0_px, p.x1_px, p.y1_px) for p in here if isinstance(p, BoxPrompt)
            }
            tags = [p.object_id for p in here if isinstance(p, TagPrompt)]
            wanted = tuple(dict.fromkeys([*tags, *boxes]))
            yield self._frame(index, clip.frames[index], wanted, boxes)

    def _frame(self, index: int, image: Image, tags: tuple[str, ...], boxes: Boxes) -> FrameMasks:
        classes = self._labeller.classes
        known = tuple(name for name in tags if name in classes.names)
        unknown = ", ".join(repr(name) for name in tags if name not in known)
        names = ", ".join(classes.names)
        if not known:
            raise BadInput(
                f"the served model knows no class {unknown}; it knows {names}. "
                "`maskloop train weak_shot --project` makes one that knows yours"
            )
        made = self._labeller.label(image, known, {name: boxes[name] for name in known if name in boxes})
        masks = {name: np.asarray(made.labels == classes.id_of(name), np.bool_) for name in known}
        notes = tuple(made.notes)
        if unknown:
            notes = (f"the served model knows no class {unknown}, only {names}", *notes)
        return FrameMasks(index, masks, {name: float(made.trust[name]) for name in known}, notes=notes)


def load(weights: Path, *, device: str, threads: int, version: str) -> TagSegmenter:
    """The segmenter of a weights file, ready to answer. Raises SetupFault for one that cannot be used."""
    if threads:
        torch.set_num_threads(threads)
    return TagSegmenter(Labeller(load_bundle(weights, device)), version)
