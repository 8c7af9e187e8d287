"""``maskloop quantise``: activation ranges of the trunk, measured on frames of training sequences."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backends.core.errors import BadInput
from pipelines.media import davis


def quantise(
    algorithm: str, *, data: Path, sequences: list[str], weights: Path, out: Path, frames: int = 24
) -> int:
    """Write the ranges for ``weights`` to ``out``; returns how many frames were looked at.

    ``frames`` are spread evenly over the sequences. Use training sequences: what is chosen on others must not
    be measured on them. Raises BadInput for an unknown algorithm, files that are not there, no sequence.
    """
    import torch

    from backends.video_object.geometry import Geometry
    from backends.video_object.int8 import measure_ranges
    from backends.video_object.segmenter import load

    if algorithm != "video_object":
        raise BadInput(f"{algorithm!r} cannot be quantised; video_object can")
    if not sequences:
        raise BadInput("name the training sequences to measure on: --sequences A,B")
    if not weights.is_file():
        raise BadInput(f"--weights {weights}: no such file")
    clips = [davis.open_clip(data, name) for name in davis.choose(data, sequences)]
    chosen = []
    for at, clip in enumerate(clips):
        share = frames // len(clips) + (at < frames % len(clips))
        chosen += [(clip, round(index)) for index in np.linspace(0, len(clip) - 1, share)]
    device = torch.device("cpu")
    pictures = (Geometry.of(clip.size_hw).image(clip.frames[index], device) for clip, index in chosen)
    measure_ranges(load(weights).network, weights, pictures, out)
    return len(chosen)
