"""Training samples: short clips cut, warped and mixed from sequences. Sample i of a run is a pure function of
``(seed, i)``, so a resumed run sees exactly what an unbroken one would have seen.

A sample has four frames: an anchor from anywhere in the video (its mask fills the template), the frame whose
mask is fed as the previous one, and two frames to segment in a row. Object slot 0 is the video's own object;
slot 1 is an object of another video pasted with its own motion (sometimes beneath, sometimes above, sometimes
an unlabelled distractor, sometimes the same video's object mirrored: same texture, other identity).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.video_object.sequences import VideoSequence

SLOTS = 2
FRAMES = 4
Float = NDArray[np.float32]


@dataclass(frozen=True)
class SampleConfig:
    """How clips are cut and mixed. Probabilities are 0..1, sizes are pixels."""

    crop_hw: tuple[int, int] = (288, 384)
    scale: tuple[float, float] = (0.62, 1.1)
    """Zoom relative to 480 rows."""
    max_step: int = 4
    """Largest distance between neighbouring frames of a sample."""
    anchor_is_previous: float = 0.35
    """Share of samples that begin right at the anchor."""
    paste: float = 0.6
    """Share of samples with a pasted second object."""
    distractor: float = 0.25
    """Share of pasted objects that are not labelled."""
    mirror: float = 0.3
    """Share of pasted objects that come from the same video, mirrored."""
    jitter: float = 0.25
    """Strength of brightness, contrast and colour changes, one draw per clip."""


@dataclass(frozen=True)
class Sample:
    """Frames (4, H, W, 3) float32 in [0, 1]; masks (4, SLOTS, H, W) in {0, 1}; previous (SLOTS, H, W): the
    spoilt mask to feed on frame 1; valid (SLOTS,): slots that hold an object."""

    frames: Float
    masks: Float
    previous: Float
    valid: NDArray[np.bool_]


def draw(videos: Sequence[VideoSequence], config: SampleConfig, seed: int, index: int) -> Sample:
    """Sample ``index`` of the run with ``seed``."""
    rng = np.random.default_rng((seed, index))
    video = videos[int(rng.integers(len(videos)))]
    times = _times(len(video.frames), config, rng)
    frames, masks = _cut(video, times, config, rng)
    valid = np.array([True, False])
    if rng.random() < config.paste:
        same = rng.random() < config.mirror
        other = video if same else videos[int(rng.integers(len(videos)))]
        labelled = _paste(frames, masks, other, config, rng, mirrored=same)
        valid[1] = labelled
    frames = _jitter(frames, config.jitter, rng)
    previous = np.stack([_spoil(masks[1, k], rng) for k in range(SLOTS)])
    return Sample(frames, masks, previous, valid)


def _times(length: int, config: SampleConfig, rng: np.random.Generator) -> list[int]:
    step = int(rng.integers(1, config.max_step + 1))
    step = min(step, max(1, (length - 1) // (FRAMES - 1)))
    first = int(rng.integers(0, max(1, length - 2 * step)))
    run = [min(length - 1, first + i * step) for i in range(FRAMES - 1)]
    if rng.random() < 0.5:
        run.reverse()
    anchor = run[0] if rng.random() < config.anchor_is_previous else int(rng.integers(length))
    return [anchor, *run]


def _cut(
    video: VideoSequence, times: list[int], config: SampleConfig, rng: np.random.Generator
) -> tuple[Float, Float]:
    """One crop window (with slight zoom, turn and drift per frame) that begins near the object."""
    label = _object_of(video, times, rng)
    centre = _centre(video.labels[times[1]] == label)
    window = _Window.draw(centre, config, rng).inside(_size(video.frames[0]), config.crop_hw)
    frames, masks = [], np.zeros((FRAMES, SLOTS, *config.crop_hw), np.float32)
    for i, t in enumerate(times):
        matrix = window.matrix(rng)
        frames.append(_warp(video.frames[t], matrix, config.crop_hw))
        masks[i, 0] = _warp_mask(video.labels[t] == label, matrix, config.crop_hw)
    return np.stack(frames).astype(np.float32) / 255.0, masks


def _size(frame: NDArray[np.uint8]) -> tuple[int, int]:
    return frame.shape[0], frame.shape[1]


def _object_of(video: VideoSequence, times: list[int], rng: np.random.Generator) -> int:
    present = np.unique(video.labels[times[0]])
    objects = present[(present > 0) & (present < 255)]
    return int(rng.choice(objects)) if len(objects) else 1


def _centre(mask: NDArray[np.bool_]) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    if len(rows) == 0:
        return mask.shape[1] / 2, mask.shape[0] / 2
    return float(columns.mean()), float(rows.mean())


@dataclass(frozen=True)
class _Window:
    """An affine view: source point ``centre`` lands at ``target``, scaled, perhaps mirrored."""

    centre: tuple[float, float]
    target: tuple[float, float]
    scale: float
    flip: float

    @staticmethod
    def draw(centre: tuple[float, float], config: SampleConfig, rng: np.random.Generator) -> _Window:
        height, width = config.crop_hw
        target = (width * rng.uniform(0.3, 0.7), height * rng.uniform(0.3, 0.7))
        return _Window(centre, target, rng.uniform(*config.scale), rng.choice((-1.0, 1.0)))

    def inside(self, source_hw: tuple[int, int], crop_hw: tuple[int, int]) -> _Window:
        """The same view moved as little as needed for the crop to lie within the source, where it fits."""
        mirrored = (self.flip < 0, False)
        target = []
        for axis in (0, 1):
            length, crop = source_hw[1 - axis], crop_hw[1 - axis]
            before = length - self.centre[axis] if mirrored[axis] else self.centre[axis]
            high = self.scale * before
            low = crop - self.scale * (length - before)
            target.append(min(high, max(low, self.target[axis])))
        return _Window(self.centre, (target[0], target[1]), self.scale, self.flip)

    def matrix(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """2x3 source -> crop, with up to 3 degrees, 3 % and 3 px of drift of its own."""
        angle, scale = np.deg2rad(rng.uniform(-3, 3)), self.scale * rng.uniform(0.97, 1.03)
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        linear = np.array([[self.flip * cos, -sin], [self.flip * sin, cos]])
        shift = np.array(self.target) + rng.uniform(-3, 3, 2) - linear @ np.array(self.centre)
        return np.hstack((linear, shift[:, None]))


def _warp(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], size_hw: tuple[int, int]
) -> NDArray[np.uint8]:
    border = cv2.BORDER_REFLECT_101
    return cv2.warpAffine(image, matrix, size_hw[::-1], flags=cv2.INTER_LINEAR, borderMode=border)  # type: ignore[return-value]


def _warp_mask(mask: NDArray[np.bool_], matrix: NDArray[np.float64], size_hw: tuple[int, int]) -> Float:
    soft = cv2.warpAffine(mask.astype(np.uint8) * 255, matrix, size_hw[::-1], flags=cv2.INTER_LINEAR)
    return (soft > 127).astype(np.float32)


def _paste(
    frames: Float,
    masks: Float,
    other: VideoSequence,
    config: SampleConfig,
    rng: np.random.Generator,
    *,
    mirrored: bool,
) -> bool:
    """Lay an object of ``other`` into the clip, in place; returns whether it is labelled (slot 1)."""
    times = _times(len(other.frames), config, rng)
    label = _object_of(other, times, rng)
    window = _Window.draw(_centre(other.labels[times[1]] == label), config, rng)
    height, width = config.crop_hw
    target = (width * rng.uniform(0.05, 0.95), height * rng.uniform(0.1, 0.9))
    window = _Window(
        window.centre, target, window.scale * rng.uniform(0.5, 1.0), -1.0 if mirrored else window.flip
    )
    below = rng.random() < 0.4
    labelled = bool(rng.random() >= config.distractor)
    drift = rng.uniform(-12, 12, 2)
    for i, t in enumerate(times):
        matrix = window.matrix(rng)
        matrix[:, 2] += drift * i
        cut = _warp_mask(other.labels[t] == label, matrix, config.crop_hw)
        if below:
            cut *= 1 - masks[i, 0]
        alpha = cv2.GaussianBlur(cut, (3, 3), 0)[..., None]
        frames[i] = frames[i] * (1 - alpha) + alpha * _warp(other.frames[t], matrix, config.crop_hw) / 255.0
        masks[i, 0] *= 1 - cut
        if labelled:
            masks[i, 1] = cut
    return labelled


def _jitter(frames: Float, strength: float, rng: np.random.Generator) -> Float:
    gain = 1 + strength * rng.uniform(-1, 1, 3) * 0.5 + strength * rng.uniform(-1, 1)
    shift = strength * rng.uniform(-0.5, 0.5)
    mean = frames.mean()
    out = (frames - mean) * gain + mean + shift
    if rng.random() < 0.1:
        out = np.repeat(out.mean(-1, keepdims=True), 3, -1)
    return np.asarray(np.clip(out, 0, 1), np.float32)


def _spoil(mask: Float, rng: np.random.Generator) -> Float:
    """A mask as a network would have left it: grown, shrunk, shifted, torn, blurred or, rarely, lost."""
    draw_ = rng.random()
    if draw_ < 0.3:
        return mask
    if draw_ < 0.36:
        return np.zeros_like(mask)
    out = mask
    size = int(rng.integers(3, 16))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    out = cv2.dilate(out, kernel) if rng.random() < 0.5 else cv2.erode(out, kernel)  # type: ignore[assignment]
    out = np.roll(out, tuple(int(v) for v in rng.integers(-8, 9, 2)), (0, 1))
    if rng.random() < 0.3:  # a piece is missing or too much
        y, x = int(rng.integers(mask.shape[0])), int(rng.integers(mask.shape[1]))
        side = int(rng.integers(16, 80))
        out = out.copy()
        out[max(0, y - side) : y + side, max(0, x - side) : x + side] = float(rng.random() < 0.3)
    return np.asarray(cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.5, 3))), np.float32)
