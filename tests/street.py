"""A drawn street for tests and pictures: the camera pans, a car drives, and one frame is hit by a glare."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from tests.editor_house import SIZE_HW

CLASSES = ("sky", "building", "road", "tree", "car")
SKY, BUILDING, ROAD, TREE, CAR = range(5)
N_FRAMES = 8
GLARE = 5
"""The frame in which the sun blinds the camera."""

_PAN_PX, _DRIVE_PX = 4, 9
_COLOURS = np.array([(150, 190, 235), (150, 105, 80), (85, 85, 92), (60, 125, 55), (200, 45, 50)], np.uint8)


def labels_of(index: int) -> NDArray[np.uint8]:
    """The true class of each pixel, (240, 426) uint8."""
    pan = _PAN_PX * index
    drawn = np.full(SIZE_HW, SKY, np.uint8)
    for left, top, across in ((-40, 60, 130), (120, 35, 90), (250, 70, 120), (400, 45, 110)):
        cv2.rectangle(drawn, (left - pan, top), (left - pan + across, 160), (BUILDING,), -1)
    drawn[150:] = ROAD
    for x, y, radius in ((95, 108, 34), (375, 100, 42)):
        cv2.circle(drawn, (x - pan, y), radius, (TREE,), -1)
        cv2.rectangle(drawn, (x - pan - 5, y), (x - pan + 5, 152), (TREE,), -1)
    x = 60 + _DRIVE_PX * index
    cv2.rectangle(drawn, (x, 160), (x + 110, 192), (CAR,), -1)
    cv2.rectangle(drawn, (x + 24, 138), (x + 84, 162), (CAR,), -1)
    return drawn


def picture_of(index: int) -> NDArray[np.uint8]:
    """The frame as the camera sees it, (240, 426, 3) RGB uint8."""
    height, width = SIZE_HW
    labels = labels_of(index)
    grain = np.random.default_rng(6).integers(-26, 27, (height // 4, width // 2, 1))
    grain = cv2.resize(grain.astype(np.float32), (2 * width, height), interpolation=cv2.INTER_CUBIC)
    ground = grain[:, 120 + _PAN_PX * index :][:, :width, None]
    shade = np.linspace(14, -14, height, dtype=np.float32)[:, None, None]
    picture = _COLOURS[labels] + ground + shade
    if index == GLARE:
        picture = picture + _glare()
    return np.asarray(cv2.GaussianBlur(np.clip(picture, 0, 255).astype(np.uint8), (3, 3), 0), np.uint8)


def _glare() -> NDArray[np.float32]:
    """Light over the lower left, where the car is."""
    rows, columns = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    far = ((columns - 160) / 70) ** 2 + ((rows - 165) / 45) ** 2
    return np.asarray(150 * np.exp(-far)[..., None], np.float32)


def write_street(folder: Path, n_frames: int = N_FRAMES) -> Path:
    """The frames as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(n_frames):
        Pillow.fromarray(picture_of(index)).save(folder / f"{index:05d}.png")
    return folder
