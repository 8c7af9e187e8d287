"""Between a frame's own size and the network's: scale into the trained range, pad to multiples of 16."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from backends.core.errors import BadMedia
from backends.core.types import Clip, Image, Mask
from backends.video_object.network import STRIDE

SHORT_SIDE = (240, 480)
LONG_SIDE = 1280


@dataclass(frozen=True)
class Geometry:
    """How frames of one clip enter the network. Sizes are (rows, columns)."""

    frame_hw: tuple[int, int]
    scaled_hw: tuple[int, int]
    padded_hw: tuple[int, int]

    @staticmethod
    def of(frame_hw: tuple[int, int], short_side: tuple[int, int] = SHORT_SIDE) -> Geometry:
        """Short side 240 to 480 px (fewer cells than channels would break isometry), long side <= 1280."""
        short, long = min(frame_hw), max(frame_hw)
        scale = min(max(short, short_side[0]), short_side[1]) / short
        scale = min(scale, LONG_SIDE / long)
        scaled = tuple(max(1, round(side * scale)) for side in frame_hw)
        # at least 12 cells a side keeps very long strips above the number of channels
        padded = tuple(max(12, -(-side // STRIDE)) * STRIDE for side in scaled)
        return Geometry(frame_hw, (scaled[0], scaled[1]), (padded[0], padded[1]))

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Cells of the matching grid."""
        return self.padded_hw[0] // STRIDE, self.padded_hw[1] // STRIDE

    def of_clip(self, clip: Clip, index: int, device: torch.device) -> Tensor:
        """One frame of a clip as :meth:`image`. Raises BadMedia where the clip changes its size."""
        frame = clip.frames[index]
        if frame.shape[:2] != self.frame_hw:
            came, began = (f"{hw[1]}x{hw[0]}" for hw in (frame.shape, self.frame_hw))
            raise BadMedia(f"frame {clip.names[index]} is {came}, the clip began with {began}; cut it there")
        return self.image(frame, device)

    def image(self, frame: Image, device: torch.device) -> Tensor:
        """(H, W, 3) uint8 -> (1, 3, h, w) in [0, 1], edges replicated into the padding."""
        height, width = self.scaled_hw
        if frame.shape[:2] != self.scaled_hw:
            shrinking = height < frame.shape[0]
            how = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
            frame = np.asarray(cv2.resize(frame, (width, height), interpolation=how), np.uint8)
        below, right = self.padded_hw[0] - height, self.padded_hw[1] - width
        if below or right:
            padded = cv2.copyMakeBorder(frame, 0, below, 0, right, cv2.BORDER_REPLICATE)
            frame = np.asarray(padded, np.uint8)
        planes = np.asarray(cv2.dnn.blobFromImage(frame, scalefactor=1 / 255), np.float32)  # (1, 3, h, w)
        return torch.from_numpy(planes).to(device)

    def soft_mask(self, mask: Mask, device: torch.device) -> Tensor:
        """(H, W) bool -> (4h, 4w) share of each stride-4 cell that the object covers."""
        height, width = self.scaled_hw
        soft: NDArray[np.float32] = mask.astype(np.float32)
        if mask.shape != self.scaled_hw:
            soft = cv2.resize(soft, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        tensor = torch.from_numpy(soft).to(device)
        tensor = F.pad(tensor, (0, self.padded_hw[1] - width, 0, self.padded_hw[0] - height))
        return F.avg_pool2d(tensor[None], 4)[0]

    def labels(self, slots: Tensor) -> NDArray[np.uint8]:
        """Slot logits (K+1, 4h, 4w) -> winning slot per pixel of the frame (H, W); logits are enlarged."""
        maps: NDArray[np.float32] = slots.float().cpu().numpy()
        best = self._enlarge(maps[0])
        winner = np.zeros(self.frame_hw, np.uint8)
        for slot, small in enumerate(maps[1:], 1):
            full = self._enlarge(small)
            np.copyto(winner, slot, where=full > best)
            np.maximum(best, full, out=best)
        return winner

    def _enlarge(self, small: NDArray[np.float32]) -> NDArray[np.float32]:
        """(4h, 4w) -> (H, W), bilinear."""
        padded, scaled = self.padded_hw, self.scaled_hw
        full = cv2.resize(small, padded[::-1], interpolation=cv2.INTER_LINEAR)[: scaled[0], : scaled[1]]
        if scaled != self.frame_hw:
            full = cv2.resize(full, self.frame_hw[::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(full, np.float32)
