"""Held-out stills as clips: what attention over time is chosen on where labelled frames are a second apart.

A still becomes the last frame of a clip that is made as training makes them, a little enlarged so that the
frames before it are filled. Footage with real neighbours keeps its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.core.types import Image
from backends.video_semantic import clips, views
from backends.video_semantic.clips import Camera, ClipConfig
from backends.video_semantic.scenes import Footage, Labels, Scenes
from backends.video_semantic.views import Jitter
from pipelines.atomic import write_bytes
from pipelines.progress import Track, quiet

RATE_HZ = 15.0
"""What made clips are taken for; the rate of CamVid's validation clip."""
_ENLARGED = 1.25
_SENSOR = Jitter((1.0, 1.0, 1.0), 1.0, 1.0, 0.006)


@dataclass(frozen=True)
class ClipMaker:
    """Writes clips of ``n_frames`` frames below ``folder``; what lies there already is not made again."""

    scenes: Scenes
    folder: Path
    n_frames: int = 8
    """The labelled one and a past of T = 7."""

    def scored(self, *, progress: Track = quiet) -> Scenes:
        """Every labelled frame of the scenes as the last one of a clip. Raises BadMedia and BadMask."""
        items = self.scenes.labelled()
        footage = [self._clip(*item) for item in progress(items, total=len(items), label="held-out clips")]
        return Scenes(self.scenes.classes, tuple(footage))

    def _clip(self, number: int, index: int) -> Footage:
        part = self.scenes.footage[number]
        place = self.folder / f"{part.name}-{index:05d}"
        labels, rate_hz = place / "labels.png", part.rate_hz
        if rate_hz >= clips.SLOWEST_HZ:
            frames = part.frames[max(0, index - self.n_frames + 1) : index + 1]
        else:
            frames, rate_hz = tuple(place / f"{at:02d}.png" for at in range(self.n_frames)), RATE_HZ
        if not labels.is_file():  # they are written last
            truth = self.scenes.labels(number, index)
            if frames[0].parent == place:
                truth = self._make(frames, self.scenes.image(number, index), truth)
            _write(labels, truth)
        return Footage(place.name, frames, {len(frames) - 1: labels}, rate_hz)

    def _make(self, frames: Sequence[Path], image: Image, truth: Labels) -> Labels:
        """Write the frames that lead to ``image``, the newest last; the label map of that one."""
        size_hw = (truth.shape[0], truth.shape[1])
        matrix = _enlarging(*size_hw)
        rng = np.random.default_rng(list(frames[0].parent.name.encode()))
        camera = Camera.draw(size_hw, ClipConfig(), rng)
        for path, back in zip(frames, reversed(range(len(frames))), strict=True):
            seen = _SENSOR.seen(camera.seen(image, matrix, back), rng)
            _write(path, np.rint(seen * 255).astype(np.uint8))
        return views.warp_labels(truth, matrix, size_hw)


def _enlarging(height: int, width: int) -> NDArray[np.float64]:
    """About the middle of the picture."""
    matrix = np.diag((_ENLARGED, _ENLARGED, 1.0))
    matrix[:2, 2] = (1 - _ENLARGED) / 2 * np.array((width - 1, height - 1))
    return matrix


def _write(path: Path, picture: Image) -> None:
    """RGB or one channel, as PNG."""
    told = picture[..., ::-1] if picture.ndim == 3 else picture
    write_bytes(path, cv2.imencode(".png", told)[1].tobytes())
