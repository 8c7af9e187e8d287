"""From a job's tags to prompts, and from a model's masks to what may be shown beside a person's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from backends.core.types import BoxPrompt, FrameMasks, MaskPrompt, Prompt, TagPrompt


def prompts_of(payload: Mapping[str, Any]) -> list[Prompt]:
    """A pseudo-label job's payload -> one prompt per tag and per box, all on frame 0."""
    tags: list[Prompt] = [TagPrompt(str(name), 0) for name in payload["tags"]]
    return tags + [BoxPrompt(str(name), 0, *corners) for name, *corners in payload.get("boxes", ())]


def keep_drawn(frame: FrameMasks, drawn: Sequence[MaskPrompt]) -> FrameMasks:
    """``frame`` with a person's masks in place of the model's, and no other class on their pixels."""
    if not drawn:
        return frame
    taken = np.any([prompt.mask for prompt in drawn], axis=0)
    masks = {name: mask & ~taken for name, mask in frame.masks.items()}
    masks |= {prompt.object_id: prompt.mask for prompt in drawn}
    names = frozenset(prompt.object_id for prompt in drawn)
    return replace(
        frame,
        masks=masks,
        confidence={**frame.confidence, **dict.fromkeys(names, 1.0)},
        anchors=frame.anchors | names,
    )
