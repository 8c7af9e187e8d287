"""What a benchmark goes through, and the clip it runs on: drawn, endless if need be, never held in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backends.core.types import Clip, Image, MaskPrompt

_SWAY_PX = 24


@dataclass(frozen=True)
class Plan:
    """Sizes and repetitions."""

    frame_hw: tuple[int, int] = (480, 854)
    """The frame of the main figures, (rows, columns) in px."""
    objects: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of objects of the growth table; the first is that of the main figures."""
    rows: tuple[int, ...] = (240, 360, 480, 720)
    """Rows of the frames in the other growth table; columns keep the main figures' proportion."""
    rounds: int = 15
    """Every figure is measured once per round, all of them in turn."""
    laps: int = 4
    """Frames, or runs of the network or trunk, per figure and round."""
    warm_up: int = 6
    """Frames before the first that counts; among them is one that joins the template."""
    long_clip: int = 2000
    """Frames over which memory is watched."""


WHOLE = Plan()
QUICK = Plan(rounds=3, laps=3, rows=(240, 480), objects=(1, 2, 4), long_clip=200)


@dataclass(frozen=True)
class Scene:
    """A textured ground with discs on it, swaying as one; every frame is cut out when it is asked for."""

    frame_hw: tuple[int, int]
    n_objects: int
    seed: int = 0

    def clip(self, n_frames: int) -> Clip:
        """The scene as a clip."""
        frames = _Swaying(self._picture(), self.frame_hw, n_frames)
        names = tuple(f"{i:05d}" for i in range(n_frames))
        return Clip(f"{self.n_objects} discs", frames, self.frame_hw, names)

    def prompts(self) -> list[MaskPrompt]:
        """The discs on frame 0."""
        height, width = self.frame_hw
        y, x = np.ogrid[:height, :width]
        radius = self._radius_px()
        return [
            MaskPrompt(f"disc {n}", 0, (y - row) ** 2 + (x - column) ** 2 < radius**2)
            for n, (row, column) in enumerate(self._centres())
        ]

    def _radius_px(self) -> float:
        return min(self.frame_hw) / (3.0 * math.ceil(math.sqrt(self.n_objects)) + 1.0)

    def _centres(self) -> list[tuple[float, float]]:
        """On a grid."""
        side = math.ceil(math.sqrt(self.n_objects))
        height, width = self.frame_hw
        cells = [(n // side, n % side) for n in range(self.n_objects)]
        return [((row + 0.5) * height / side, (column + 0.5) * width / side) for row, column in cells]

    def _picture(self) -> Image:
        """The whole ground, a margin wider than a frame on each side."""
        import cv2

        drawn = np.random.default_rng(self.seed)
        height, width = (side + 2 * _SWAY_PX for side in self.frame_hw)
        coarse = drawn.integers(40, 200, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
        picture = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
        radius = round(self._radius_px())
        for row, column in self._centres():
            colour = tuple(int(c) for c in drawn.integers(0, 255, 3))
            cv2.circle(picture, (round(column) + _SWAY_PX, round(row) + _SWAY_PX), radius, colour, -1)
        return picture


@dataclass(frozen=True)
class _Swaying(Sequence[Image]):
    picture: Image
    frame_hw: tuple[int, int]
    n_frames: int

    def __len__(self) -> int:
        return self.n_frames

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        top, left = (_SWAY_PX + round(_SWAY_PX * math.sin(index / n)) for n in (9, 14))
        height, width = self.frame_hw
        return self.picture[top : top + height, left : left + width]
