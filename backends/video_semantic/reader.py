"""Pictures in, label maps out, in bounded memory: for files and for the editor alike.

A frame beyond ``WORK_PIXELS`` is answered on a smaller copy, and its label map brought back to the frame's
own size by the nearest pixel, so that a 4K frame takes no more memory than one at 1080p.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backends.core.errors import BadMedia
from backends.core.types import Image
from backends.video_semantic.stream import Stream
from backends.video_semantic.weights_file import SceneWeights

WORK_PIXELS = 1920 * 1088
"""Beyond that a frame is answered on a smaller copy."""

_LOGITS = 64_000_000  # numbers in the logits of one frame, 256 MB: many classes mean a smaller copy

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Answer:
    """What a network says of one frame."""

    labels: Labels
    """(H, W) class ids of the frame's own size."""
    confidence: NDArray[np.float64]
    """(n,) mean probability of a class over the pixels it was given; NaN where it was given none."""
    opens: bool
    """It is the first of a clip, or of a scene: nothing before it was looked at."""
    worked_hw: tuple[int, int]
    """The size that the network saw."""


class ClipReader:
    """One clip as it comes. Weights belong to the caller; what belongs to the clip is here."""

    def __init__(self, weights: SceneWeights, device: str = "cpu", *, work_pixels: int = WORK_PIXELS):
        """``work_pixels``: see WORK_PIXELS."""
        self.classes = weights.classes
        self._limit = max(32 * 32, min(work_pixels, _LOGITS // len(weights.classes)))
        self._device = torch.device(device)
        self._stream = Stream(weights.network.eval().to(self._device))
        temporal = weights.network.temporal
        self.reach = temporal.radii.frames if temporal is not None and temporal.rho else 0
        """How many frames before one can matter to its answer."""

    def reset(self) -> None:
        """The next frame is the first of another clip."""
        self._stream.reset()

    def reduced(self, image: Image) -> Image:
        """The frame as the network sees it: itself, or a smaller copy. Doing it again changes nothing."""
        height, width = self._worked(image.shape[0], image.shape[1])
        if (height, width) == image.shape[:2]:
            return image
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

    @torch.inference_mode()
    def push(self, image: Image) -> Answer:
        """The next frame, (H, W, 3) RGB uint8. Raises BadMedia where memory does not suffice for it."""
        small = self.reduced(image)
        try:
            labels, confidence = self._answer(small)
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
                raise
            self.reset()
            raise BadMedia(
                f"not enough memory for a frame of {small.shape[1]}x{small.shape[0]} pixels; scale the "
                "frames down, or take a smaller network"
            ) from error
        full = resized_labels(labels, (image.shape[0], image.shape[1]))
        return Answer(full, confidence, self._stream.opened, (small.shape[0], small.shape[1]))

    def _answer(self, small: Image) -> tuple[Labels, NDArray[np.float64]]:
        rgb = torch.from_numpy(np.array(small)).to(self._device).permute(2, 0, 1)[None].float() / 255
        logits = self._stream.push(rgb)[0]
        sure, labels = _winners(logits)
        n = len(self.classes)
        counts = torch.bincount(labels.flatten(), minlength=n).double()
        sums = torch.bincount(labels.flatten(), sure.flatten().double(), minlength=n)
        mean = torch.where(counts > 0, sums / counts.clamp(min=1), torch.nan)
        return labels.to(torch.uint8).cpu().numpy(), mean.cpu().numpy()

    def _worked(self, height: int, width: int) -> tuple[int, int]:
        if height * width <= self._limit:
            return height, width
        share = math.sqrt(self._limit / (height * width))
        return max(1, math.floor(height * share)), max(1, math.floor(width * share))


def resized_labels(labels: Labels, size_hw: tuple[int, int]) -> Labels:
    """A label map brought to (H, W) by the nearest pixel."""
    if labels.shape == size_hw:
        return labels
    return np.asarray(cv2.resize(labels, size_hw[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)


def _winners(logits: Tensor) -> tuple[Tensor, Tensor]:
    """(n, H, W) logits -> the highest probability and its class, both (H, W)."""
    best, labels = logits.max(0)
    return (best - logits.logsumexp(0)).exp(), labels
