"""The sample clip: 40 frames with exact ground truth, drawn from photographs that ship inside scikit-image.

A coffee cup (object 1) and an astronaut's head (object 2) cross in front of a night-time launch pad; the
astronaut passes before the cup. All three photographs are public domain or CC0, so the clip is free to use.
Everything is a pure function of the frame index: the same frames come out on every run. Nothing here knows
Label Studio.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import pi, sin
from pathlib import Path

import cv2
import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image as Pillow

from backends.core.errors import SetupFault
from backends.core.types import Image
from pipelines.atomic import write_bytes
from pipelines.media.palette import write_index_png

N_FRAMES = 40
SIZE_HW = (480, 854)
OBJECTS = ("object 1", "object 2")  # index 1 and 2 of the ground truth
CLIP_ID = "sample"
FRAME_NAMES = tuple(f"{index:05d}.jpg" for index in range(N_FRAMES))

_SUPERSAMPLE = 2  # drawn at twice the size and averaged: smooth edges, half-covered pixels known exactly
_JPEG_QUALITY = 92

# Outlines in (x, y) pixels of the photographs.
_CUP = (
    (173, 100), (176, 84), (184, 67), (197, 50), (214, 36), (235, 25), (258, 19), (284, 17), (312, 20),
    (340, 29), (364, 41), (384, 56), (397, 71), (405, 67), (414, 66), (422, 71), (423, 79), (415, 104),
    (432, 118), (449, 136), (462, 156), (472, 180), (478, 206), (478, 232), (473, 259), (463, 283),
    (447, 308), (427, 330), (402, 350), (372, 367), (340, 379), (308, 386), (278, 388), (248, 385),
    (216, 377), (186, 365), (160, 350), (136, 331), (115, 309), (98, 284), (86, 257), (79, 230), (77, 202),
    (80, 176), (88, 150), (101, 127), (119, 106), (141, 89), (160, 79), (179, 73),
)  # fmt: skip
_ASTRONAUT = (
    (191, 33), (203, 23), (217, 18), (232, 16), (246, 17), (260, 21), (274, 30), (286, 43), (294, 58),
    (299, 74), (301, 88), (298, 104), (291, 117), (283, 125), (275, 131), (268, 135), (264, 147), (259, 159),
    (256, 172), (266, 180), (279, 191), (290, 204), (299, 219), (304, 236), (304, 250), (301, 262),
    (294, 274), (282, 284), (268, 290), (252, 293), (234, 293), (214, 290), (194, 284), (174, 274),
    (157, 262), (143, 247), (131, 231), (121, 214), (115, 200), (114, 188), (120, 184), (124, 182),
    (128, 170), (137, 159), (149, 152), (163, 149), (185, 149), (184, 139), (183, 132), (176, 131),
    (171, 120), (165, 113), (158, 101), (154, 84), (154, 66), (160, 55), (172, 45),
)  # fmt: skip


@dataclass(frozen=True)
class _CutOut:
    """A premultiplied picture of one object and the point it turns about."""

    rgba: NDArray[np.float32]  # (h, w, 4), colour times alpha, 0..255 and 0..1
    centre_xy: tuple[float, float]


@dataclass(frozen=True)
class _Pose:
    x_px: float
    y_px: float
    scale: float
    angle_deg: float


def write_sample_clip(frames_dir: Path, truth_dir: Path) -> tuple[Path, ...]:
    """Write ``00000.jpg`` … and ``00000.png`` … (index masks); returns the frames' paths in order.

    Finished files are kept, so a broken run goes on where it stopped.
    """
    frames_dir.mkdir(parents=True, exist_ok=True)
    truth_dir.mkdir(parents=True, exist_ok=True)
    frames = tuple(frames_dir / name for name in FRAME_NAMES)
    truths = tuple(truth_dir / f"{Path(name).stem}.png" for name in FRAME_NAMES)
    if all(path.is_file() for path in frames + truths):
        return frames
    for frame, truth, (image, index_mask) in zip(frames, truths, draw(), strict=True):
        write_index_png(truth, index_mask)
        jpeg = BytesIO()
        Pillow.fromarray(image).save(jpeg, format="JPEG", quality=_JPEG_QUALITY)
        write_bytes(frame, jpeg.getvalue())
    return frames


def draw(indices: Sequence[int] = range(N_FRAMES)) -> Iterator[tuple[Image, NDArray[np.uint8]]]:
    """Yield a pair for each frame of ``indices``, by default all 40: the picture, (480, 854, 3) uint8, and
    its ground truth, (480, 854) uint8 in {0, 1, 2}."""
    background = _photograph("rocket.jpg").astype(np.float32)
    cup = _cut_out("coffee.png", _CUP)
    astronaut = _cut_out("astronaut.png", _ASTRONAUT)
    for index in indices:
        time = index / (N_FRAMES - 1)
        behind = _placed(cup, _cup_pose(time))
        front = _placed(astronaut, _astronaut_pose(time))
        image = _placed_background(background, time)
        for layer in (behind, front):
            image = np.asarray(image * (1 - layer[..., 3:]) + layer[..., :3], np.float32)
        visible = (behind[..., 3] * (1 - front[..., 3]), front[..., 3])
        yield _halved(image).round().clip(0, 255).astype(np.uint8), _index_mask(visible)


def _index_mask(visible: tuple[NDArray[np.float32], ...]) -> NDArray[np.uint8]:
    """A pixel belongs to the object that covers more than half of it."""
    truth = np.zeros(SIZE_HW, np.uint8)
    for number, alpha in enumerate(visible, start=1):
        truth[_halved(alpha) > 0.5] = number
    return truth


def _cup_pose(time: float) -> _Pose:
    return _Pose(
        x_px=215 + 400 * time,
        y_px=300 + 26 * sin(2 * pi * time),
        scale=0.56 + 0.16 * sin(pi * time),
        angle_deg=-14 + 30 * time,
    )


def _astronaut_pose(time: float) -> _Pose:
    return _Pose(
        x_px=660 - 440 * time,
        y_px=205 - 45 * sin(1.5 * pi * time),
        scale=0.98 - 0.24 * time,
        angle_deg=12 - 26 * time,
    )


def _placed_background(photograph: NDArray[np.float32], time: float) -> NDArray[np.float32]:
    """The photograph scaled to cover the frame, drifting by about 30 pixels over the clip."""
    scale = 1.42 * _SUPERSAMPLE
    shift_x, shift_y = -(38 - 30 * time) * _SUPERSAMPLE, -(112 + 10 * sin(pi * time)) * _SUPERSAMPLE
    matrix = np.array([[scale, 0, shift_x], [0, scale, shift_y]], np.float32)
    return _warped(photograph, matrix, cv2.INTER_CUBIC)


def _placed(cut: _CutOut, pose: _Pose) -> NDArray[np.float32]:
    matrix = cv2.getRotationMatrix2D(cut.centre_xy, pose.angle_deg, pose.scale * _SUPERSAMPLE)
    shift = np.array([pose.x_px, pose.y_px]) * _SUPERSAMPLE - np.array(cut.centre_xy)
    moved = np.column_stack([matrix[:, :2], matrix[:, 2] + shift])
    return _warped(cut.rgba, moved.astype(np.float32), cv2.INTER_LINEAR)


def _warped(picture: NDArray[np.float32], matrix: NDArray[np.float32], how: int) -> NDArray[np.float32]:
    height, width = SIZE_HW
    size_wh = (width * _SUPERSAMPLE, height * _SUPERSAMPLE)
    return np.asarray(cv2.warpAffine(picture, matrix, size_wh, flags=how), np.float32)


def _halved(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average blocks of ``_SUPERSAMPLE`` pixels squared."""
    height, width = SIZE_HW
    blocks = picture.reshape(height, _SUPERSAMPLE, width, _SUPERSAMPLE, *picture.shape[2:])
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def _cut_out(photograph: str, outline: tuple[tuple[int, int], ...]) -> _CutOut:
    picture = _photograph(photograph)
    alpha = np.zeros(picture.shape[:2], np.uint8)
    # Four bits of sub-pixel precision; the slight blur hides the corners of the outline.
    points = (np.array(outline) * 16).astype(np.int32)
    cv2.fillPoly(alpha, [points], (255,), lineType=cv2.LINE_AA, shift=4)
    soft = cv2.GaussianBlur(alpha, (0, 0), 1.2).astype(np.float32) / 255
    rgba = np.dstack([picture.astype(np.float32) * soft[..., None], soft])
    x, y = np.array(outline).mean(axis=0)
    return _CutOut(rgba.astype(np.float32), (float(x), float(y)))


def _photograph(name: str) -> Image:
    path = Path(skimage.__file__).parent / "data" / name
    if not path.is_file():
        raise SetupFault(
            f"this scikit-image does not ship {name}, which the sample clip is drawn from; "
            "install the pinned version: pip install -c constraints.txt scikit-image"
        )
    with Pillow.open(path, formats=["PNG", "JPEG"]) as picture:
        return np.asarray(picture.convert("RGB"))
