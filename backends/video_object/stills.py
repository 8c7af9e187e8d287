"""Stills: photos with label maps become short clips by thin-plate warps that grow from frame to frame.

A folder holds ``images/`` and ``masks/`` (index PNGs of the same stem; 0 is background, 255 unknown). The
warps follow RANet's static stage (Wang et al., ICCV 2019): 16 control points, turns, zooms, crops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from tqdm import tqdm

from backends.core.errors import BadMedia
from backends.core.frames import open_image, read_index_mask
from backends.core.types import Image
from backends.training.distributed import leads
from backends.video_object.views import Float, Window, centre_of, warp, warp_mask

LEAST_SHARE = 0.004  # of the photo; smaller labels are no objects to learn from
WHOLE = 0.5  # share of samples in which all labels together are the object
_CONTROL = 4  # control points a side
_REACH = (0.07, 0.04, 0.02)  # of the warp on frames 0, 1 and from there on, share of the crop
_COARSE = 24  # the warp is worked out on this many points a side and enlarged


@dataclass(frozen=True)
class Still:
    """A photo (H, W, 3) uint8 and its label map (H, W) uint8, 0 = background."""

    name: str
    image: Image
    labels: NDArray[np.uint8]


def load(root: Path, *, count: int = 0, height: int = 600) -> list[Still]:
    """The first ``count`` photos below ``root`` in order of name (0: all), at most ``height`` rows each.

    Raises BadMedia when there are none.
    """
    paths = [p for p in sorted((root / "images").glob("*")) if (root / "masks" / f"{p.stem}.png").is_file()]
    if not paths:
        raise BadMedia(f"{root} holds no photo in images/ with a mask of the same name in masks/")
    chosen = paths[: count or None]
    bar = tqdm(chosen, desc="reading stills", unit="photo", disable=not leads())
    return [_load_one(path, root / "masks" / f"{path.stem}.png", height) for path in bar]


def _load_one(image_path: Path, mask_path: Path, height: int) -> Still:
    image, labels = open_image(image_path), read_index_mask(mask_path)
    if image.shape[0] > height:
        size = (round(image.shape[1] * height / image.shape[0]), height)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        labels = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    return Still(image_path.stem, image, labels)


def cut(
    still: Still,
    frames: int,
    slots: int,
    crop_hw: tuple[int, int],
    scale: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[Float, Float]:
    """A clip from one photo: images (frames, H, W, 3) in [0, 1] and masks (frames, slots, H, W) in {0, 1}.

    Frame 0 is seen from further away (other warp, turn and zoom) than the frames after it, which follow each
    other. Half of the time the object is everything labelled, else single labels, two where there are two.
    """
    objects = _objects(still, slots, rng)
    window = Window.draw(centre_of(objects[0]), crop_hw, scale, rng)
    images, masks = [], np.zeros((frames, slots, *crop_hw), np.float32)
    bend: NDArray[np.float64] = np.zeros((_CONTROL**2, 2))
    drift = rng.uniform(-10, 10, 2)
    for i in range(frames):
        loose = i == 0
        bend = _REACH[min(i, 2)] * rng.uniform(-1, 1, (_CONTROL**2, 2)) + bend * (i > 1)
        matrix = window.matrix(rng, unrest=6.0 if loose else 1.5)
        matrix[:, 2] += drift * (i - 1)
        field = _field(bend, crop_hw)
        images.append(_bent(warp(still.image, matrix, crop_hw), field, cv2.INTER_LINEAR))
        for slot, mask in enumerate(objects):
            masks[i, slot] = _bent(warp_mask(mask, matrix, crop_hw), field, cv2.INTER_NEAREST)
    return np.stack(images).astype(np.float32) / 255.0, masks


def _objects(still: Still, slots: int, rng: np.random.Generator) -> Sequence[NDArray[np.bool_]]:
    labels, counts = np.unique(still.labels, return_counts=True)
    kept = [
        n for n, c in zip(labels, counts, strict=True) if 0 < n < 255 and c >= LEAST_SHARE * still.labels.size
    ]
    if len(kept) == 0 or rng.random() < WHOLE:
        return [(still.labels > 0) & (still.labels < 255)]
    chosen = rng.permutation(kept)[: 1 + int(rng.integers(slots))]
    return [still.labels == n for n in chosen]


def _field(bend: NDArray[np.float64], crop_hw: tuple[int, int]) -> tuple[Float, Float]:
    """Thin-plate displacement of the control points (16, 2; share of the crop) -> maps for cv2.remap."""
    height, width = crop_hw
    control, points = _points(_CONTROL), _points(_COARSE)
    spline = RBFInterpolator(control, bend, kernel="thin_plate_spline")
    moved = spline(points).reshape(_COARSE, _COARSE, 2).astype(np.float32)
    full = np.asarray(cv2.resize(moved, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return columns + full[..., 0] * width, rows + full[..., 1] * height


@cache
def _points(side: int) -> NDArray[np.float64]:
    line = np.linspace(0.0, 1.0, side)
    columns, rows = np.meshgrid(line, line)
    return np.stack((columns.ravel(), rows.ravel()), 1)


def _bent(image: NDArray, field: tuple[Float, Float], how: int) -> NDArray:  # type: ignore[type-arg]
    border = cv2.BORDER_REFLECT_101 if how == cv2.INTER_LINEAR else cv2.BORDER_CONSTANT
    return np.asarray(cv2.remap(image, field[0], field[1], how, borderMode=border))
