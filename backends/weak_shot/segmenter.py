"""The room's face: pictures and tags in, one mask per tag with its trust out.

Tags that the weights never learned are told and left out, unless a box shows the class; the others go on. A
class that is not found comes back with an empty mask and the low trust it was given.
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

        Raises BadInput when no tag of a frame can be used, BadMedia for a frame that cannot be
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
        heard = self._heard()
        usable = tuple(name for name in tags if name in heard or name in boxes)
        left = [name for name in tags if name not in usable]
        if not usable:
            raise BadInput(self._unheard(left))
        made = self._labeller.label(image, usable, boxes)
        masks = {name: np.asarray(made.labels == made.ids[name], np.bool_) for name in usable}
        notes = (*made.notes, *([self._unheard(left)] if left else []))
        return FrameMasks(index, masks, {name: float(made.trust[name]) for name in usable}, notes=notes)

    def _heard(self) -> tuple[str, ...]:
        """Classes that a tag alone can find."""
        bundle = self._labeller.bundle
        return bundle.classes.names if bundle.classifier is not None else ()

    def _unheard(self, names: Sequence[str]) -> str:
        named, heard = ", ".join(map(repr, names)), ", ".join(self._heard())
        why = f"the served model knows {heard}" if heard else "the served model has not learned classes yet"
        return (
            f"a tag alone finds no {named}: {why}. Drag a smart box over it, or teach the model with "
            "`maskloop train weak_shot --project`"
        )


def load(weights: Path, *, device: str, threads: int, version: str) -> TagSegmenter:
    """The segmenter of a weights file, ready to answer. Raises SetupFault for one that cannot be used."""
    if threads:
        torch.set_num_threads(threads)
    return TagSegmenter(Labeller(load_bundle(weights, device)), version)
