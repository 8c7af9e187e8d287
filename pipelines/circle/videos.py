"""Small videos drawn by a rule, with exact truth: two plain shapes that pass over a dim ground.

Easy enough that a network learns them in a few steps on one processor core, and each of them another video:
places, turns and colours change with its number.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from backends.core.types import Mask

N_FRAMES = 6
SIZE_HW = (160, 224)
"""The least that the training's template can do with: ten by fourteen cells of the network's grid."""
OBJECTS = ("object 1", "object 2")
_COLOURS = (
    ((235, 200, 90), (90, 150, 235)),
    ((220, 80, 80), (240, 240, 240)),
    ((120, 220, 120), (230, 120, 220)),
    ((80, 220, 220), (240, 170, 60)),
    ((250, 250, 150), (160, 90, 240)),
)
COUNT = len(_COLOURS)


def truth(video: int, index: int) -> dict[str, Mask]:
    """The exact masks of a frame, object -> (H, W) bool: an ellipse moves right, a box above it left."""
    rng = np.random.default_rng(video)
    drawn = np.zeros(SIZE_HW, np.uint8)
    x, y = rng.integers(45, 60), rng.integers(105, 125)
    turn = int(rng.integers(0, 90))
    cv2.ellipse(drawn, (int(x + 6 * index), int(y)), (28, 20), turn, 0, 360, (1,), -1)
    x, y = rng.integers(150, 175), rng.integers(28, 50)
    left, top = int(x - 5 * index - 20), int(y - 16)
    cv2.rectangle(drawn, (left, top), (left + 40, top + 32), (2,), -1)
    return {name: drawn == number for number, name in enumerate(OBJECTS, start=1)}


def picture(video: int, index: int) -> NDArray[np.uint8]:
    """The frame itself, (H, W, 3) RGB."""
    noise = np.random.default_rng((video, 3)).integers(0, 60, (SIZE_HW[0] // 8, SIZE_HW[1] // 8), np.uint8)
    ground = cv2.resize(noise, SIZE_HW[::-1], interpolation=cv2.INTER_LINEAR)
    drawn = np.dstack([ground + 30, ground + 55, ground + 45])
    for mask, colour in zip(truth(video, index).values(), _COLOURS[video], strict=True):
        drawn[mask] = colour
    return np.asarray(cv2.GaussianBlur(drawn, (3, 3), 0), np.uint8)


def write(folder: Path, video: int) -> Path:
    """The video as PNG files; returns its folder, called after its number."""
    target = folder / f"shapes-{video}"
    target.mkdir(parents=True, exist_ok=True)
    for index in range(N_FRAMES):
        Pillow.fromarray(picture(video, index)).save(target / f"{index:05d}.png")
    return target
