"""Where a query may look: a window in each past frame, wider the further back.

Source: STT (Li et al., "Video Semantic Segmentation via Sparse Temporal Transformer", ACM MM 2021), key
selection: ``l_t = min(s + (T - t) eps, e)``, the window in frame t is (2 l_t + 1) squared.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from backends.core.errors import BadInput


@dataclass(frozen=True)
class Radii:
    """Radii of the windows in cells of the feature map, by age: 1 is the frame before the current one."""

    frames: int = 7
    """T: how many past frames are looked at."""
    start: int = 1
    """s: the radius in the nearest frame."""
    end: int = 5
    """e: no window is wider."""
    step: int = 1
    """eps: how much the radius grows with each frame further back."""

    def __post_init__(self) -> None:
        if not (1 <= self.frames <= 64 and 0 <= self.start <= self.end and self.step >= 0):
            raise BadInput(
                f"windows over {self.frames} frames with radii from {self.start} to {self.end} in steps of "
                f"{self.step}: wants 1 to 64 frames, 0 <= start <= end and a step of 0 or more"
            )

    @property
    def by_age(self) -> tuple[int, ...]:
        """Radius in the nearest frame first."""
        return tuple(min(self.start + back * self.step, self.end) for back in range(self.frames))

    @property
    def n_keys(self) -> int:
        """n_k: keys per query, all past frames together, away from the map's borders."""
        return sum((2 * radius + 1) ** 2 for radius in self.by_age)

    def covers(self, smaller: Radii) -> bool:
        """Whether all windows of ``smaller`` lie within these."""
        pairs = zip(self.by_age, smaller.by_age, strict=False)
        return smaller.frames <= self.frames and all(wanted <= radius for radius, wanted in pairs)

    def rows_of(self, smaller: Radii) -> list[int]:
        """Which of these n_k keys the windows of ``smaller`` have too, in their order.

        Raises BadInput when one of them reaches further, in space or in time.
        """
        if not self.covers(smaller):
            raise BadInput(
                f"windows of radii {smaller.by_age}, nearest frame first, reach beyond {self.by_age}"
            )
        rows, first = [], 0
        for radius, wanted in zip(self.by_age, smaller.by_age, strict=False):
            side, near = 2 * radius + 1, range(radius - wanted, radius + wanted + 1)
            rows += [first + down * side + across for down in near for across in near]
            first += side**2
        return rows


@dataclass(frozen=True)
class Tile:
    """One square of ``side`` x ``side`` queries and the union of their windows: what they share in keys.

    U counts the cells of all unions, nearest frame first; cell u of the union stands ``dy[u], dx[u]`` from
    the square's upper left corner. For query p of the square, ``bias_row[p, u]`` is the row of the relative
    bias (counted over age, dy, dx) and ``inside[p, u]`` says whether u lies in p's own window.
    """

    side: int
    age: Tensor
    """(U,) which past frame, 0 for the nearest."""
    dy: Tensor
    dx: Tensor
    bias_row: Tensor
    inside: Tensor

    @property
    def n_keys(self) -> int:
        """U."""
        return int(self.dy.shape[0])


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # it is kept: made while predicting, it must serve a training as well
def tile(side: int, radii: tuple[int, ...], device: torch.device) -> Tile:
    """The tile for windows of ``radii``, nearest frame first."""
    at = torch.arange(side, device=device)
    query_y, query_x = at.repeat_interleave(side), at.repeat(side)
    all_dy, all_dx, rows, insides, first = [], [], [], [], 0
    for radius in radii:
        reach = torch.arange(-radius, side + radius, device=device)
        dy, dx = reach.repeat_interleave(len(reach)), reach.repeat(len(reach))
        apart_y, apart_x = dy - query_y[:, None], dx - query_x[:, None]
        width = 2 * radius + 1
        row = (apart_y + radius).clamp(0, width - 1) * width + (apart_x + radius).clamp(0, width - 1)
        insides.append((apart_y.abs() <= radius) & (apart_x.abs() <= radius))
        rows.append(first + row)
        all_dy.append(dy)
        all_dx.append(dx)
        first += width**2
    sizes = torch.tensor([len(part) for part in all_dy], device=device)
    age = torch.arange(len(radii), device=device).repeat_interleave(sizes)
    return Tile(side, age, torch.cat(all_dy), torch.cat(all_dx), torch.cat(rows, 1), torch.cat(insides, 1))
