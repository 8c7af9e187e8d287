"""One picture of each held-out clip as people labelled it and as both versions answer, for side by side.

Index PNGs in the run's folder ``examples``, beside ``examples.json``; the frame itself stays in the snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backends.loop.files import write_json
from pipelines.media.palette import write_index_png

INDEX = "examples.json"
MOST = 24
"""Clips that are shown; a score counts all of them."""


@dataclass
class Examples:
    """Collects what one version answers; ``who`` is ``candidate`` or ``served``."""

    folder: Path
    who: str
    rows: dict[str, dict[str, str | int]] = field(default_factory=dict)

    def put(
        self, clip: str, frame: int, image: str, truth: NDArray[np.uint8], answer: NDArray[np.uint8]
    ) -> None:
        """(H, W) label maps of one frame; ``image`` is its path below the snapshot. One frame per clip."""
        if clip in self.rows or len(self.rows) >= MOST:
            return
        stem = f"{clip}-{frame:05d}"
        names = {"truth": f"{stem}.truth.png", self.who: f"{stem}.{self.who}.png"}
        write_index_png(self.folder / names["truth"], truth)
        write_index_png(self.folder / names[self.who], answer)
        self.rows[clip] = {"clip": clip, "frame": frame, "image": image, **names}


def write_index(folder: Path, *parts: Examples) -> None:
    """``examples.json``: a row per clip with the files of all versions."""
    rows: dict[str, dict[str, str | int]] = {}
    for part in parts:
        for clip, row in part.rows.items():
            rows.setdefault(clip, {}).update(row)
    write_json(folder / INDEX, list(rows.values()))
