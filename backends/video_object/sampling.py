"""Training samples: short clips cut, warped and mixed from sequences and stills. Sample i of a run is a pure
function of ``(seed, i)``, so a resumed run sees exactly what an unbroken one would have seen.

A sample has four frames: an anchor from anywhere in the video (its mask fills the template), the frame whose
mask is fed as the previous one, and two frames to segment in a row. Object slot 0 is the video's own object;
slot 1 is an object of another video pasted with its own motion (sometimes beneath, sometimes above, sometimes
an unlabelled distractor, sometimes the same video's object mirrored: same texture, other identity). Stills
(see ``stills``) give the same four frames, often with two objects of the photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.video_object import stills
from backends.video_object.sequences import VideoSequence
from backends.video_object.stills import Still
from backends.video_object.views import Window, centre_of, warp, warp_mask

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
    still: float = 0.0
    """Share of samples made from stills; needs stills."""
    remember: float = 0.5
    """Share of samples whose template also holds the last frame with the mask that was fed on."""


@dataclass(frozen=True)
class Sample:
    """Frames (4, H, W, 3) float32 in [0, 1]; masks (4, SLOTS, H, W) in {0, 1}; previous (SLOTS, H, W): the
    spoilt mask to feed on frame 1; valid (SLOTS,): slots that hold an object; others (4, H, W): an instance
    that nobody labelled; remember: whether the last frame joins the template; guess (SLOTS, 2) in [-1, 1]:
    how far the expected centres are from the true ones."""

    frames: Float
    masks: Float
    previous: Float
    valid: NDArray[np.bool_]
    others: Float
    remember: bool
    guess: Float


def draw(
    videos: Sequence[VideoSequence], photos: Sequence[Still], config: SampleConfig, seed: int, index: int
) -> Sample:
    """Sample ``index`` of the run with ``seed``."""
    rng = np.random.default_rng((seed, index))
    others: Float = np.zeros((FRAMES, *config.crop_hw), np.float32)
    video = videos[int(rng.integers(len(videos)))]
    if photos and rng.random() < config.still:
        photo = photos[int(rng.integers(len(photos)))]
        frames, masks = stills.cut(photo, FRAMES, SLOTS, config.crop_hw, config.scale, rng)
    else:
        frames, masks = _cut(video, _times(len(video.frames), config, rng), config, rng)
    valid = np.array([True, bool(masks[:, 1].any())])
    if not valid[1] and rng.random() < config.paste:
        same = rng.random() < config.mirror
        other = video if same else videos[int(rng.integers(len(videos)))]
        cut = _paste(frames, masks, other, config, rng, mirrored=same)
        valid[1] = rng.random() >= config.distractor
        if valid[1]:
            masks[:, 1] = cut
        else:
            others = cut
    frames = _jitter(frames, config.jitter, rng)
    previous = np.stack([_spoil(masks[1, k], rng) for k in range(SLOTS)])
    remember = bool(rng.random() < config.remember)
    guess = rng.uniform(-1, 1, (SLOTS, 2)).astype(np.float32)
    return Sample(frames, masks, previous, valid, others, remember, guess)


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
    centre = centre_of(video.labels[times[1]] == label)
    window = Window.draw(centre, config.crop_hw, config.scale, rng).inside(
        _size(video.frames[0]), config.crop_hw
    )
    frames, masks = [], np.zeros((FRAMES, SLOTS, *config.crop_hw), np.float32)
    for i, t in enumerate(times):
        matrix = window.matrix(rng)
        frames.append(warp(video.frames[t], matrix, config.crop_hw))
        masks[i, 0] = warp_mask(video.labels[t] == label, matrix, config.crop_hw)
    return np.stack(frames).astype(np.float32) / 255.0, masks


def _size(frame: NDArray[np.uint8]) -> tuple[int, int]:
    return frame.shape[0], frame.shape[1]


def _object_of(video: VideoSequence, times: list[int], rng: np.random.Generator) -> int:
    present = np.unique(video.labels[times[0]])
    objects = present[(present > 0) & (present < 255)]
    return int(rng.choice(objects)) if len(objects) else 1


def _paste(
    frames: Float,
    masks: Float,
    other: VideoSequence,
    config: SampleConfig,
    rng: np.random.Generator,
    *,
    mirrored: bool,
) -> Float:
    """Lay an object of ``other`` into the clip, in place; returns its masks (4, H, W)."""
    times = _times(len(other.frames), config, rng)
    label = _object_of(other, times, rng)
    window = Window.draw(centre_of(other.labels[times[1]] == label), config.crop_hw, config.scale, rng)
    height, width = config.crop_hw
    target = (width * rng.uniform(0.05, 0.95), height * rng.uniform(0.1, 0.9))
    window = Window(
        window.centre, target, window.scale * rng.uniform(0.5, 1.0), -1.0 if mirrored else window.flip
    )
    below = rng.random() < 0.4
    pasted: Float = np.zeros((FRAMES, *config.crop_hw), np.float32)
    drift = rng.uniform(-12, 12, 2)
    for i, t in enumerate(times):
        matrix = window.matrix(rng)
        matrix[:, 2] += drift * i
        cut = warp_mask(other.labels[t] == label, matrix, config.crop_hw)
        if below:
            cut *= 1 - masks[i, 0]
        alpha = cv2.GaussianBlur(cut, (3, 3), 0)[..., None]
        frames[i] = frames[i] * (1 - alpha) + alpha * warp(other.frames[t], matrix, config.crop_hw) / 255.0
        masks[i, 0] *= 1 - cut
        pasted[i] = cut
    return pasted


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
