"""Procedural textures in two colours: blotches, stripes and grain, from a random generator alone."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.core.types import Image

_LEAST_CONTRAST = 70.0  # distance of mean colours in RGB, so that the sprites can be seen at all


def pair_of_looks(
    rng: np.random.Generator, sprite_side_px: int, ground_hw: tuple[int, int]
) -> tuple[Image, Image]:
    """A square texture for all sprites of a scene and the ground they lie on, told apart by their colours."""
    looks = texture(rng, (sprite_side_px, sprite_side_px), scale_px=sprite_side_px / 26)
    while True:
        ground = texture(rng, ground_hw, scale_px=rng.uniform(0.03, 0.1) * ground_hw[0])
        if np.linalg.norm(looks.mean((0, 1)) - ground.mean((0, 1))) > _LEAST_CONTRAST:
            return looks, ground


def texture(rng: np.random.Generator, size_hw: tuple[int, int], scale_px: float) -> Image:
    """(H, W, 3) uint8; ``scale_px`` is the size of a blotch or the width of a stripe."""
    field = noise(rng, size_hw, scale_px)
    if rng.random() < 0.5:
        y, x = np.mgrid[: size_hw[0], : size_hw[1]].astype(np.float32)
        angle = rng.uniform(0, np.pi)
        across = x * np.cos(angle) + y * np.sin(angle)
        field = np.sin(np.pi * across / scale_px + 4 * field).astype(np.float32)
    share = 1 / (1 + np.exp(-4 * field))[..., None]  # mostly one colour or the other
    dark, light = rng.uniform(10, 150, 3), rng.uniform(90, 245, 3)
    grain = 1 + 0.12 * noise(rng, size_hw, max(1.5, scale_px / 6))[..., None]
    return np.asarray(((dark + (light - dark) * share) * grain).clip(0, 255), np.uint8)


def noise(rng: np.random.Generator, size_hw: tuple[int, int], scale_px: float) -> NDArray[np.float32]:
    """(H, W) smooth noise with mean 0 and deviation 1: two octaves of random grids, enlarged."""
    height, width = size_hw
    total = np.zeros(size_hw, np.float32)
    for octave in (1, 2):
        step = scale_px / octave
        grid = rng.standard_normal((int(height / step) + 3, int(width / step) + 3)).astype(np.float32)
        total += (
            np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), np.float32) / octave
        )
    return np.asarray((total - total.mean()) / max(float(total.std()), 1e-6), np.float32)
