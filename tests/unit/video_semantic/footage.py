"""Drawn footage with label maps: a sky, a road and a car that drives, in the layout of CamVid."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

SIZE = (64, 96)
SKY, ROAD, CAR = 0, 3, 8


def picture(at: int) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) RGB and (H, W) ids with the car at column ``at``; a strip of void at the bottom."""
    rng = np.random.default_rng(4)  # the same grain in every frame
    labels = np.full(SIZE, SKY, np.uint8)
    labels[30:] = ROAD
    labels[34:48, at : at + 24] = CAR
    labels[-4:] = 11
    colours = np.zeros((12, 3), np.uint8)
    colours[[SKY, ROAD, CAR]] = (120, 170, 230), (90, 90, 95), (190, 40, 40)
    grain = rng.integers(-12, 13, (*SIZE, 3))
    return np.clip(colours[labels] + grain, 0, 255).astype(np.uint8), labels


def write(root: Path, split: str, names: list[str], *, step: int = 3) -> None:
    """Frames and label maps ``names`` of ``split``; the car goes ``step`` px from one to the next."""
    images, maps = root / split, root / f"{split}annot"
    images.mkdir(parents=True, exist_ok=True)
    maps.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        rgb, labels = picture(8 + step * number)
        cv2.imwrite(str(images / f"{name}.png"), rgb[..., ::-1])
        cv2.imwrite(str(maps / f"{name}.png"), labels)


def camvid(root: Path) -> Path:
    """Three stills at 1 Hz to learn from, six frames at 15 Hz to score."""
    write(root, "train", [f"0001_{number:05d}" for number in (30, 60, 90)], step=10)
    write(root, "val", [f"0002_{number:05d}" for number in range(500, 512, 2)])
    return root
