"""The template: matching rows that people's masks gave, made isometric once, and grown mask by mask.

A frame contributes its grid pooled 2x2 (as RANet pools its template, Wang et al., ICCV 2019) and, because
pooling loses small objects, the cells that objects cover at full resolution, at most a quarter of the grid.
All rows are orthogonalised together and split by mask afterwards: only the whole template is isometric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from backends.video_object.matching import Svb, bias_of, gram_of, isometry, isometry_of_gram, rows_of


@dataclass(frozen=True)
class Template:
    """What frames are matched against; everything of it is computed once, not per frame."""

    rows: Tensor  # (B, N, C) unit length; rows of zeros are padding
    isometric: Tensor  # (B, N, C) = rows @ A
    shares: Tensor  # (B, K, N) share of each cell that the object covers, 0..1
    foreground: Tensor  # (B, K, N) 0 for rows of the object, -NEVER for others
    background: Tensor  # (B, K, N) 0 for rows that are surely not the object, -NEVER for others
    said: Tensor  # (B, 1, N) 0 for rows about which a mask says something, -NEVER for others

    @staticmethod
    def of(rows: Tensor, a: Tensor, masks: Tensor) -> Template:
        """``rows`` (B, N, C), ``a`` (B, C, C) from isometry, ``masks`` (B, K, N), -1 where nobody said."""
        foreground, background = rows_of(masks)
        said = (masks >= 0).any(1, keepdim=True)
        shares = masks.clamp_min(0)
        return Template(rows, rows @ a, shares, bias_of(foreground), bias_of(background), bias_of(said))

    def of_slots(self, slots: Sequence[int]) -> Template:
        """The same rows for some objects only."""
        chosen = list(slots)
        return Template(
            self.rows,
            self.isometric,
            self.shares[:, chosen],
            self.foreground[:, chosen],
            self.background[:, chosen],
            self.said,
        )


def condense(embedded: Tensor, masks: Tensor, grid_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """One frame's rows and masks: (B, P, C), (B, K, P) -> (B, N, C), (B, K, N), N about P/2.

    A 2x2-pooled grid, then the P/4 cells with most of an object on them; where objects cover fewer cells the
    rest is padding (rows 0, masks -1). A grid so small that pooling leaves fewer rows than channels comes
    back whole: isometry needs N >= C.
    """
    if -(-grid_hw[0] // 2) * -(-grid_hw[1] // 2) < embedded.shape[-1]:
        return embedded, masks
    pooled, shares = _pool(embedded, grid_hw), _pool(masks.transpose(1, 2), grid_hw)
    fine, fine_shares = _covered(embedded, masks)
    rows = torch.cat((F.normalize(pooled, dim=-1, eps=1e-6), fine), 1)
    return rows, torch.cat((shares.transpose(1, 2), fine_shares), 2)


def coarse(embedded: Tensor, masks: Tensor, grid_hw: tuple[int, int], side: int) -> tuple[Tensor, Tensor]:
    """One frame's rows and masks pooled ``side`` x ``side`` and nothing else."""
    rows = F.normalize(_pool(embedded, grid_hw, side), dim=-1, eps=1e-6)
    return rows, _pool(masks.transpose(1, 2), grid_hw, side).transpose(1, 2)


def _pool(x: Tensor, grid_hw: tuple[int, int], side: int = 2) -> Tensor:
    """(B, P, C) -> (B, P / side^2, C)."""
    maps = x.transpose(1, 2).reshape(x.shape[0], x.shape[2], *grid_hw)
    pooled = F.avg_pool2d(maps.float(), side, ceil_mode=True, count_include_pad=False)
    return pooled.flatten(2).transpose(1, 2).to(x.dtype)


def _covered(embedded: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """The P/4 cells that objects cover most, spread evenly over large objects."""
    batch, cells, channels = embedded.shape
    share = masks.amax(1)  # (B, P)
    # steps of the golden ratio: among equally covered cells the choice is spread, not the first rows
    spread = torch.frac(torch.arange(cells, device=masks.device) * 0.6180339887).to(share.dtype)
    chosen = (share.clamp_max(0.5) + 0.2 * spread * (share > 0)).topk(cells // 4, dim=1).indices
    rows = embedded.gather(1, chosen[..., None].expand(batch, -1, channels))
    picked = masks.gather(2, chosen[:, None].expand(-1, masks.shape[1], -1))
    covered = (share.gather(1, chosen) > 0)[:, None]
    return rows * covered.transpose(1, 2), torch.where(covered, picked, -1.0)


@dataclass(frozen=True)
class Rows:
    """What a template is made of, part by part: a new mask joins by adding its rows and their Gram matrix."""

    parts: tuple[tuple[Tensor, Tensor], ...] = ()  # (rows (1, n, C), masks (1, K, n)) to match against
    gram: Tensor | None = None  # (1, C, C) float64, of all rows that ever joined
    joined: int = 0  # how many those are

    def join(self, rows: Tensor, masks: Tensor) -> Rows:
        """These rows and the new ones; isometry stays exact because ``YᵀY`` is a sum over rows."""
        kept = masks.amax(1)[0] >= 0  # padding serves batches only
        rows, masks = rows[:, kept], masks[:, :, kept]
        gram = gram_of(rows) if self.gram is None else self.gram + gram_of(rows)
        return Rows((*self.parts, (rows, masks)), gram, self.joined + rows.shape[1])

    def matched(self, chosen: Sequence[int]) -> Rows:
        """Only these parts, by order of joining, are matched against; all stay in the isometry."""
        return Rows(tuple(self.parts[i] for i in chosen), self.gram, self.joined)

    def template(self, *, method: Svb, eps: float, g: float) -> Template:
        """Orthogonalise all rows that joined together; ``svd`` knows those that are matched only."""
        assert self.gram is not None, "a template wants at least one frame"
        rows, masks = (torch.cat(x, d) for x, d in zip(zip(*self.parts, strict=True), (1, 2), strict=True))
        if method == "svd":
            a = isometry(rows, method=method, eps=eps, g=g)
        else:
            a = isometry_of_gram(self.gram, self.joined, method=method, eps=eps, g=g).to(rows.dtype)
        return Template.of(rows, a, masks)
