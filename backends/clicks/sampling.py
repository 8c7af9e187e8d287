"""Training samples: one view of one object, and what is known of it before the first click. Sample i of a run
is a pure function of ``(seed, i)``, so a resumed run sees exactly what an unbroken one would have seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.clicks.prompts import Box
from backends.clicks.stills import Still
from backends.core.types import Mask

Float = NDArray[np.float32]
LEAST_PX = 250  # an object smaller than this in the view is drawn anew
TRIES = 8


@dataclass(frozen=True)
class SampleConfig:
    """How views are cut and mixed. Probabilities are 0..1."""

    crop_hw: tuple[int, int] = (288, 352)
    fills: tuple[float, float] = (0.2, 0.95)
    """The object's longer side as a share of the view."""
    scale: tuple[float, float] = (0.4, 2.2)
    """Zoom allowed to reach that."""
    photos: float = 0.4
    """Share of samples from photos, where there are any."""
    part: float = 0.12
    """Share of those that are one label (a garment) instead of the whole (the person)."""
    paste: float = 0.35
    """Share of samples onto which another object is pasted."""
    paste_is_object: float = 0.6
    """Share of pasted objects that become the object; the others hide part of it or stand beside it."""
    box: float = 0.2
    """Share of samples that begin with a box."""
    before: float = 0.25
    """Share of samples that begin with a mask that has faults."""
    jitter: float = 0.3
    """Strength of brightness, contrast and colour changes."""


@dataclass(frozen=True)
class Sample:
    """``image`` (H, W, 3) float32 in [0, 1]; ``mask`` (H, W) bool, never empty; where it begins: with a box,
    with a faulty mask, or (both None) with nothing."""

    image: Float
    mask: Mask
    box: Box | None
    before: Mask | None


def draw(
    frames: Sequence[Still], photos: Sequence[Still], config: SampleConfig, seed: int, index: int
) -> Sample:
    """Sample ``index`` of the run with ``seed``."""
    rng = np.random.default_rng((seed, index))
    for _ in range(TRIES):
        image, mask = _view(_pick(frames, photos, config, rng), config, rng)
        if rng.random() < config.paste:
            other = _view(_pick(frames, photos, config, rng), config, rng)
            image, mask = _paste((image, mask), other, rng.random() < config.paste_is_object, rng)
        if mask.sum() >= LEAST_PX:
            break
    else:
        mask = mask | _disc(mask.shape, (mask.shape[1] // 2, mask.shape[0] // 2), 12)
    start = rng.random()
    box = loose_box(mask, rng) if start < config.box else None
    before = spoil(mask, rng) if config.box <= start < config.box + config.before else None
    return Sample(_jitter(image, config.jitter, rng), mask, box, before)


def _pick(
    frames: Sequence[Still], photos: Sequence[Still], config: SampleConfig, rng: np.random.Generator
) -> tuple[Still, Mask]:
    """A picture and one object in it."""
    pool = photos if photos and rng.random() < config.photos else frames
    still = pool[int(rng.integers(len(pool)))]
    labels = np.unique(still.labels)
    labels = labels[(labels > 0) & (labels < 255)]
    if len(labels) == 0 or (still.whole and rng.random() >= config.part):
        return still, np.asarray((still.labels > 0) & (still.labels < 255), np.bool_)
    return still, np.asarray(still.labels == rng.choice(labels), np.bool_)


def _view(
    picked: tuple[Still, Mask], config: SampleConfig, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], Mask]:
    """A window of the picture, turned, mirrored and scaled a little, with the object in it."""
    still, mask = picked
    (height, width), (rows, columns) = config.crop_hw, mask.shape
    x0, y0, x1, y1 = _extent(mask)
    wanted = np.exp(rng.uniform(*np.log(config.fills)))
    scale = wanted * min(width / (x1 - x0), height / (y1 - y0))
    fit = max(height / rows, width / columns)
    scale = float(np.clip(scale, max(fit, config.scale[0]), max(fit, config.scale[1])))
    half = (width / scale / 2, height / scale / 2)  # of the window, in pixels of the picture
    x = rng.uniform(x0, x1) if x1 - x0 > half[0] else (x0 + x1) / 2 + rng.uniform(-0.6, 0.6) * half[0]
    y = rng.uniform(y0, y1) if y1 - y0 > half[1] else (y0 + y1) / 2 + rng.uniform(-0.6, 0.6) * half[1]
    x, y = float(np.clip(x, half[0], columns - half[0])), float(np.clip(y, half[1], rows - half[1]))
    turn = np.deg2rad(rng.normal(0, 6))
    squeeze = np.exp(rng.normal(0, 0.06))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    turned = scale * np.array(
        [[mirror * squeeze * np.cos(turn), -squeeze * np.sin(turn)], [mirror * np.sin(turn), np.cos(turn)]]
    )
    matrix = np.hstack((turned, (np.array([width / 2, height / 2]) - turned @ (x, y))[:, None]))
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.warpAffine(
        still.image, matrix, (width, height), flags=shrink, borderMode=cv2.BORDER_REFLECT_101
    )
    cut = cv2.warpAffine(mask.astype(np.float32), matrix, (width, height), flags=cv2.INTER_LINEAR)
    return np.asarray(image, np.uint8), np.asarray(cut > 0.5, np.bool_)


def _paste(
    base: tuple[NDArray[np.uint8], Mask],
    other: tuple[NDArray[np.uint8], Mask],
    is_object: bool,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], Mask]:
    """``other``'s object over ``base``, its edge softened; it becomes the object or hides part of it."""
    shift = rng.integers(-80, 81, 2)
    if is_object:
        shift = shift // 4
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)
    size = base[1].shape[::-1]
    mask = cv2.warpAffine(other[1].astype(np.float32), matrix, size)
    image = cv2.warpAffine(other[0], matrix, size).astype(np.float32)
    soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 1.2))[..., None]
    mixed = base[0] * (1 - soft) + image * soft
    covered = mask > 0.5
    return mixed.astype(np.uint8), np.asarray(covered if is_object else base[1] & ~covered, np.bool_)


def loose_box(mask: Mask, rng: np.random.Generator) -> Box:
    """The object's extent as a person would draw it: mostly a little too large."""
    x0, y0, x1, y1 = _extent(mask)
    slack = np.abs(rng.normal(0, 0.06, 4)) - 0.02
    width, height = x1 - x0, y1 - y0
    return Box(
        max(0.0, x0 - slack[0] * width),
        max(0.0, y0 - slack[1] * height),
        min(float(mask.shape[1]), x1 + slack[2] * width),
        min(float(mask.shape[0]), y1 + slack[3] * height),
    )


def spoil(mask: Mask, rng: np.random.Generator) -> Mask:
    """The mask with faults as propagation leaves them: shifted, thinned, part lost, something beside it."""
    rows, columns = mask.shape
    x0, y0, x1, y1 = _extent(mask)
    size = max(x1 - x0, y1 - y0)
    move = np.array([[1, 0, rng.normal(0, 0.03) * size], [0, 1, rng.normal(0, 0.03) * size]])
    spoilt = cv2.warpAffine(mask.astype(np.uint8), move, (columns, rows), flags=cv2.INTER_NEAREST)
    radius = int(rng.integers(0, max(2, round(0.04 * size))))
    change = cv2.dilate if rng.random() < 0.5 else cv2.erode
    faulty = np.asarray(change(spoilt, _kernel(radius)) > 0, np.bool_)
    inside = np.flatnonzero(mask)
    for _ in range(int(rng.integers(0, 3))):  # lost
        row, column = divmod(int(rng.choice(inside)), columns)
        faulty &= ~_disc(mask.shape, (column, row), round(rng.uniform(0.1, 0.4) * size))
    for _ in range(int(rng.integers(0, 3))):  # too much
        at = (int(rng.uniform(x0 - 0.3 * size, x1 + 0.3 * size)), int(rng.uniform(y0, y1)))
        faulty |= _disc(mask.shape, at, round(rng.uniform(0.05, 0.3) * size))
    return faulty


def _extent(mask: Mask) -> tuple[float, float, float, float]:
    """The bounding box (x0, y0, x1, y1), that of the whole picture for an empty mask."""
    if not mask.any():
        return 0.0, 0.0, float(mask.shape[1]), float(mask.shape[0])
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _disc(shape: tuple[int, ...], centre: tuple[int, int], radius: int) -> Mask:
    disc = np.zeros(shape[:2], np.uint8)
    cv2.circle(disc, centre, max(1, radius), 1, -1)
    return disc.astype(np.bool_)


def _kernel(radius: int) -> NDArray[np.uint8]:
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def _jitter(image: NDArray[np.uint8], strength: float, rng: np.random.Generator) -> Float:
    """Brightness, contrast, saturation and a tint; sometimes blur or noise."""
    picture = image.astype(np.float32) / 255
    grey = picture.mean(2, keepdims=True)
    saturation = float(np.exp(rng.normal(0, strength))) if rng.random() < 0.95 else 0.0
    picture = grey + (picture - grey) * min(2.0, saturation)
    picture = (picture - 0.5) * float(np.exp(rng.normal(0, strength / 2))) + 0.5
    picture = picture + rng.normal(0, strength / 3) + rng.normal(0, strength / 12, 3).astype(np.float32)
    kind = rng.random()
    if kind < 0.1:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 1.5))
    elif kind < 0.2:
        picture = picture + rng.normal(0, 0.03, picture.shape).astype(np.float32)
    return np.asarray(np.clip(picture, 0, 1), np.float32)
