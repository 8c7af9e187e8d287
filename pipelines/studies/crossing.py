"""Generated clips of look-alikes that meet: two or three sprites of one texture and nearly one outline.

Nothing but place and history tells the sprites apart, so a method that only matches looks must mix them up.
Everything is a pure function of (seed, number, size, frames), and the truth is exact: a pixel belongs to the
sprite that covers more than half of it, those in front counted first. The way they meet goes in turns:
``cross`` (through one point, one passing before the other), ``pass`` (side by side in opposite directions,
touching at most) and ``turn`` (they meet, overlap in part and go back, against every guess from velocity).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, pi, sin
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadInput
from backends.core.types import Clip, Image, Mask
from pipelines.studies.textures import pair_of_looks

KINDS = ("cross", "pass", "turn")
LEAST_SIDE_PX = 96
LEAST_FRAMES = 8

Points = NDArray[np.float64]  # (T, 2) (x, y) px


@dataclass(frozen=True)
class Sprite:
    """One object: an outline, what is painted on it, and where it goes."""

    radii_px: NDArray[np.float64]  # (360,) distance of the outline from the centre, by degree
    texture: Image  # square, its middle on the sprite's centre
    centres: Points
    angles_rad: NDArray[np.float64]  # (T,)


@dataclass(frozen=True)
class Scene:
    """A clip before it is drawn. Sprite ``k`` is object ``k + 1``; later sprites are in front of earlier."""

    name: str
    kind: str
    size_hw: tuple[int, int]
    background: Image  # larger than the frame, so that it may drift
    drift_px: NDArray[np.int64]  # (T, 2) upper left corner (x, y) of the frame in the background
    sprites: tuple[Sprite, ...]

    @property
    def n_frames(self) -> int:
        """Frames of the clip."""
        return len(self.drift_px)

    @property
    def objects(self) -> tuple[int, ...]:
        """1 .. number of sprites."""
        return tuple(range(1, len(self.sprites) + 1))


@dataclass(frozen=True)
class DrawnScene:
    """A clip and its exact index maps, (H, W) uint8 with 0 as background."""

    scene: Scene
    clip: Clip
    truths: tuple[NDArray[np.uint8], ...]

    def masks(self, frame_index: int) -> dict[int, Mask]:
        """Each object's visible pixels; all False where it is hidden."""
        return {number: np.equal(self.truths[frame_index], number) for number in self.scene.objects}


def scenes(count: int, seed: int, size_hw: tuple[int, int], n_frames: int) -> Iterator[Scene]:
    """``count`` scenes, the three kinds in turns, some with three sprites. Raises BadInput for too little."""
    if min(size_hw) < LEAST_SIDE_PX or n_frames < LEAST_FRAMES or count < 1:
        raise BadInput(
            f"{count} clips of {n_frames} frames of {size_hw[1]}x{size_hw[0]}: wants 1 clip or more, "
            f"{LEAST_FRAMES} frames or more and {LEAST_SIDE_PX} pixels or more a side"
        )
    for number in range(count):
        yield make_scene(number, seed, size_hw, n_frames)


def make_scene(number: int, seed: int, size_hw: tuple[int, int], n_frames: int) -> Scene:
    """Scene ``number`` of the set with this seed."""
    rng = np.random.default_rng([seed, number])
    kind = KINDS[number % len(KINDS)]
    n_sprites = 3 if number % 4 == 3 and kind != "pass" else 2
    radius_px = rng.uniform(0.10, 0.14) * size_hw[0]
    drift_px = _drift(rng, n_frames, reach_px=round(0.05 * size_hw[1]))
    reach_px = int(drift_px.max()) + 1
    looks, ground = pair_of_looks(rng, round(8 * radius_px), (size_hw[0] + reach_px, size_hw[1] + reach_px))
    outlines = [_outline(rng, radius_px, shape) for shape in [_shape(rng)] * n_sprites]
    paths = _paths(rng, kind, n_sprites, radius_px, size_hw, n_frames)
    sprites = tuple(
        Sprite(outline, _window(rng, looks, round(3 * radius_px)), path, _turning(rng, n_frames))
        for outline, path in zip(outlines, paths, strict=True)
    )
    # whoever is in front is drawn by lot, so that object 1 is not always the hidden one
    shuffled = tuple(sprites[i] for i in rng.permutation(n_sprites))
    return Scene(f"{kind}-{number:02d}", kind, size_hw, ground, drift_px, shuffled)


def draw_scene(scene: Scene) -> DrawnScene:
    """Every frame drawn, with its truth."""
    drawn = [draw(scene, index) for index in range(scene.n_frames)]
    names = tuple(f"{index:05d}" for index in range(scene.n_frames))
    clip = Clip(scene.name, [image for image, _ in drawn], scene.size_hw, names)
    return DrawnScene(scene, clip, tuple(truth for _, truth in drawn))


def draw(scene: Scene, index: int) -> tuple[Image, NDArray[np.uint8]]:
    """One frame (H, W, 3) uint8 and its index map (H, W) uint8."""
    height, width = scene.size_hw
    left, top = scene.drift_px[index]
    image = scene.background[top : top + height, left : left + width].astype(np.float32)
    covers = np.zeros((len(scene.sprites), height, width), np.float32)
    for slot, sprite in enumerate(scene.sprites):  # back to front
        place, alpha, colours = _painted(sprite, index, scene.size_hw)
        image[place] += (colours - image[place]) * alpha[..., None]
        covers[(slice(None), *place)] *= 1 - alpha
        covers[(slot, *place)] = alpha
    truth = np.where(covers.max(0) > 0.5, covers.argmax(0) + 1, 0).astype(np.uint8)
    return image.round().clip(0, 255).astype(np.uint8), truth


def _painted(
    sprite: Sprite, index: int, size_hw: tuple[int, int]
) -> tuple[tuple[slice, slice], NDArray[np.float32], NDArray[np.float32]]:
    """Where the sprite may show, how much of each pixel there it covers (0..1), and its colours."""
    (x_px, y_px), angle = sprite.centres[index], sprite.angles_rad[index]
    reach = float(sprite.radii_px.max()) + 1
    rows = slice(max(0, int(y_px - reach)), max(0, min(size_hw[0], int(y_px + reach) + 2)))
    columns = slice(max(0, int(x_px - reach)), max(0, min(size_hw[1], int(x_px + reach) + 2)))
    y, x = np.mgrid[rows, columns].astype(np.float64)
    away_x, away_y = x - x_px, y - y_px
    own_x = cos(angle) * away_x + sin(angle) * away_y
    own_y = cos(angle) * away_y - sin(angle) * away_x
    degrees = np.degrees(np.arctan2(own_y, own_x)) % 360
    outline = np.interp(degrees, np.arange(361), np.append(sprite.radii_px, sprite.radii_px[0]))
    alpha = np.clip(outline - np.hypot(own_x, own_y) + 0.5, 0, 1).astype(np.float32)
    middle = (sprite.texture.shape[0] - 1) / 2
    at_x, at_y = (own_x + middle).astype(np.float32), (own_y + middle).astype(np.float32)
    if alpha.size == 0:
        return (rows, columns), alpha, np.zeros((*alpha.shape, 3), np.float32)
    found = cv2.remap(sprite.texture, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return (rows, columns), alpha, np.asarray(found, np.float32)


def _paths(
    rng: np.random.Generator,
    kind: str,
    n_sprites: int,
    radius_px: float,
    size_hw: tuple[int, int],
    n_frames: int,
) -> list[Points]:
    """One way (T, 2) per sprite; all meet near the middle of the frame in the middle of the clip."""
    meeting = np.array(size_hw[::-1]) / 2 + rng.uniform(-0.03, 0.03, 2) * size_hw[0]
    heading = rng.uniform(-0.4, 0.4) if kind == "pass" else rng.uniform(0, 2 * pi)  # lanes need the width
    meet_at = rng.uniform(0.42, 0.58) * (n_frames - 1)
    time = (np.arange(n_frames) - meet_at) / max(meet_at, n_frames - 1 - meet_at)  # 0 when they meet
    if kind == "pass":
        lanes_px = [(k - (n_sprites - 1) / 2) * 2.3 * radius_px for k in range(n_sprites)]
        along = _room_px(heading, size_hw, 2.6 * radius_px) * time  # the lanes lie beside the middle
        return [meeting + _line(heading, along * (-1) ** k, lanes_px[k]) for k in range(n_sprites)]
    ways = []
    for k in range(n_sprites):
        turned = heading + 2 * pi * k / n_sprites + rng.uniform(-0.2, 0.2)
        along = _room_px(turned, size_hw, 1.4 * radius_px) * time
        if kind == "turn":  # a smooth |along|: never nearer than 0.8 radii to the middle
            along = np.sqrt(along**2 + (0.8 * radius_px) ** 2)
        swerve = rng.uniform(0.02, 0.05) * size_hw[0] * np.sin(1.5 * pi * time)
        ways.append(meeting + _line(turned, along, swerve))
    return ways


def _line(heading: float, along_px: Any, aside_px: Any) -> Points:
    """(T, 2): ``along_px`` (T,) ahead in this direction, ``aside_px`` (T,) or one number beside it."""
    ahead, beside = np.array([cos(heading), sin(heading)]), np.array([-sin(heading), cos(heading)])
    aside = np.broadcast_to(np.asarray(aside_px), along_px.shape)
    return np.asarray(along_px[:, None] * ahead + aside[:, None] * beside, np.float64)


def _room_px(heading: float, size_hw: tuple[int, int], margin_px: float) -> float:
    """How far one can go from the middle in this direction without leaving the frame; at most 0.36 widths."""
    height, width = size_hw
    sideways = (width / 2 - margin_px) / max(abs(cos(heading)), 1e-6)
    upwards = (height / 2 - margin_px) / max(abs(sin(heading)), 1e-6)
    return float(min(sideways, upwards, 0.36 * width))


def _shape(rng: np.random.Generator) -> NDArray[np.float64]:
    """(3, 2) height (of the radius) and phase of the outline's 2nd to 4th harmonic."""
    return np.column_stack([rng.uniform(0.02, 0.13, 3), rng.uniform(0, 2 * pi, 3)])


def _outline(rng: np.random.Generator, radius_px: float, shape: NDArray[np.float64]) -> NDArray[np.float64]:
    """(360,) px: the family's shape with a little of its own."""
    own = shape + np.column_stack([rng.uniform(-0.015, 0.015, 3), rng.uniform(-0.15, 0.15, 3)])
    theta = np.radians(np.arange(360))
    waves = sum(own[h, 0] * np.cos((h + 2) * theta + own[h, 1]) for h in range(3))
    return np.asarray(radius_px * rng.uniform(0.96, 1.04) * (1 + waves), np.float64)


def _window(rng: np.random.Generator, looks: Image, side_px: int) -> Image:
    """A square of the common texture: the same look, not the same pixels."""
    top, left = rng.integers(0, looks.shape[0] - side_px, 2)
    return np.ascontiguousarray(looks[top : top + side_px, left : left + side_px])


def _turning(rng: np.random.Generator, n_frames: int) -> NDArray[np.float64]:
    return np.asarray(rng.uniform(0, 2 * pi) + np.linspace(0, rng.uniform(-0.8, 0.8), n_frames), np.float64)


def _drift(rng: np.random.Generator, n_frames: int, reach_px: int) -> NDArray[np.int64]:
    """(T, 2) whole pixels >= 0: the camera goes slowly one way."""
    way = rng.uniform(-1, 1, 2)[None] * np.linspace(0, reach_px, n_frames)[:, None]
    return np.asarray(np.round(way - way.min(0)), np.int64)
