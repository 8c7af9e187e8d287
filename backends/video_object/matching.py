"""Template matching: isometric correlation against the template, local correlation against the last frame.

The template ``Y`` (N, C) holds one L2-normalised feature per template position, foreground and background
together. Correlating with raw ``Y`` distorts distances between the current frame's pixels by
``YᵀY``; ``Y' = Y A`` with singular values clipped to ``[1/(1+eps), 1+eps]`` (singular value bounding, Jia et
al., CVPR 2017; eps 0 is the polar factor) keeps them. That needs column orthonormality, hence N >= C, and
the whole template at once: foreground and background rows are split afterwards.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from backends.core.errors import BadInput

Svb = Literal["eigh", "svd", "ns5", "off"]
TOP = 4
_RANK_FLOOR = 1e-3  # singular values below this share of the largest are noise and get gain 0
_QUINTIC = (3.4445, -4.7750, 2.0315)  # Newton-Schulz coefficients; five steps bring [0.01, 1] to [0.68, 1.13]


def isometry(template: Tensor, *, method: Svb = "eigh", eps: float = 0.2, g: float = 1.0) -> Tensor:
    """The map ``A`` (..., C, C) with ``Y' = Y A`` for templates ``Y`` (..., N, C); gradients stop here.

    ``method``: "eigh" and "svd" bound the singular values to the band of ``eps``; "ns5" takes five quintic
    Newton-Schulz steps instead (matrix products only, about the band of eps 0.5); "off" gives the identity.
    ``g`` moves along the family ``Y (YᵀY)^(-g/2)``: 0 raw matching, 1 isometry, 2 the closed-form ridge
    classifier; "ns5" knows 1 only. Directions whose singular value is below 1e-3 of the largest are dropped,
    so rank-deficient templates give finite results. Raises BadInput when N < C, eps < 0 or g is not offered.
    """
    rows, columns = template.shape[-2:]
    if method == "off":
        return torch.eye(columns, device=template.device, dtype=template.dtype).expand(
            *template.shape[:-2], columns, columns
        )
    if rows < columns:
        raise BadInput(f"template has {rows} rows for {columns} channels; isometry needs at least {columns}")
    if eps < 0:
        raise BadInput(f"svb_eps is {eps}; it must be 0 or more")
    if method == "ns5" and g != 1:
        raise BadInput(f"svb_g is {g}; Newton-Schulz steps lead to g = 1 only, use eigh or svd")
    with torch.no_grad(), torch.autocast(template.device.type, enabled=False):
        y = template.detach().double()
        # mean squared singular value 1, so that the band around 1 means something
        scale = columns**0.5 / y.flatten(-2).norm(dim=-1).clamp_min(1e-12)[..., None, None]
        a = _newton_schulz(y * scale) if method == "ns5" else _bounded(y * scale, method, eps, g)
        # unit rows times sqrt(N / C): similarities of order one at every grid size
        scaled: Tensor = (a * scale * (rows / columns) ** 0.5).to(template.dtype)
        return scaled


def _bounded(y: Tensor, method: Svb, eps: float, g: float) -> Tensor:
    values, vectors = _spectrum(y, method)
    bounded = values.clamp(1 / (1 + eps), 1 + eps)
    kept = values > _RANK_FLOOR * values.amax(-1, keepdim=True)
    gain = torch.where(kept, bounded / values.clamp_min(1e-12), torch.zeros_like(values))
    return vectors @ (torch.where(kept, gain**g, gain)[..., :, None] * vectors.transpose(-1, -2))


def _newton_schulz(y: Tensor, steps: int = 5) -> Tensor:
    """The product of the steps' polynomials in ``X^T X``; only C x C matrices after the first product."""
    gram = y.transpose(-1, -2) @ y
    norm = gram.diagonal(dim1=-2, dim2=-1).sum(-1).clamp_min(1e-24).sqrt()[..., None, None]
    identity = torch.eye(gram.shape[-1], dtype=y.dtype, device=y.device)
    a = identity / norm
    for _ in range(steps):
        now = a.transpose(-1, -2) @ gram @ a
        first, second, third = _QUINTIC
        a = a @ (first * identity + second * now + third * now @ now)
    return a


def _spectrum(y: Tensor, method: Svb) -> tuple[Tensor, Tensor]:
    """Singular values (..., C) and right singular vectors as columns (..., C, C)."""
    if method == "svd":
        _, values, vh = torch.linalg.svd(y, full_matrices=False)
        return values, vh.transpose(-1, -2)
    squares, vectors = torch.linalg.eigh(y.transpose(-1, -2) @ y)
    return squares.clamp_min(0).sqrt(), vectors


def rows_of(positions: Tensor) -> tuple[Tensor, Tensor]:
    """Soft object masks on template positions (..., N) -> foreground and background rows (bool).

    Negative shares mean that nobody said: such rows are neither. An object smaller than a cell still owns the
    cells where it is largest.
    """
    top = positions.amax(-1, keepdim=True)
    foreground = (positions >= torch.minimum(torch.full_like(top, 0.5), 0.9 * top)) & (top > 0)
    return foreground, (positions >= 0) & (positions < 0.5)


def best(similarity: Tensor, rows: Tensor, count: int) -> Tensor:
    """The ``count`` largest similarities over chosen rows: (B, 1, P, N), (B, K, 1, N) -> (B, K, P, count)."""
    masked = torch.where(rows, similarity, similarity.new_tensor(-1.0))
    if masked.shape[-1] < count:
        masked = torch.nn.functional.pad(masked, (0, count - masked.shape[-1]), value=-1.0)
    return masked.topk(count, dim=-1).values


def window_index(grid_hw: tuple[int, int], radius: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Flat indices of each position's (2R+1)^2 neighbours, and which of them lie inside the grid.

    Returns (P, D) int64 and (P, D) bool with P = h*w, D = (2R+1)^2; outside entries point at position 0.
    """
    height, width = grid_hw
    reach = torch.arange(-radius, radius + 1, device=device)
    rows = torch.arange(height, device=device)[:, None, None, None] + reach[:, None]
    columns = torch.arange(width, device=device)[None, :, None, None] + reach
    inside = ((rows >= 0) & (rows < height)) & ((columns >= 0) & (columns < width))
    flat = torch.where(inside, rows * width + columns, torch.zeros_like(rows))
    shape = (height * width, (2 * radius + 1) ** 2)
    return flat.expand_as(inside).reshape(shape), inside.reshape(shape)


def local_correlation(now: Tensor, before: Tensor, index: Tensor, inside: Tensor) -> Tensor:
    """``L(p, d) = <f_t(p), f_{t-1}(p + d)>``; (B, P, C), (B, P, C) -> (B, P, D); outside entries are -1."""
    dense = now @ before.transpose(1, 2)
    window = dense.gather(2, index.expand(dense.shape[0], -1, -1))
    return torch.where(inside, window, window.new_tensor(-1.0))


def local_evidence(window: Tensor, previous: Tensor, index: Tensor, inside: Tensor) -> Tensor:
    """What the last frame's masks say here: (B, P, D), (B, K, P) -> (B, K, P, 2*TOP+1).

    The four best similarities to where the object was, the four best to where it was not, and the previous
    mask carried along by the softmax over the window (temperature 0.07).
    """
    around = previous[:, :, index.reshape(-1)].reshape(*previous.shape[:2], *index.shape)  # (B, K, P, D)
    weights = torch.softmax((window / 0.07).masked_fill(~inside, -1e4), dim=-1)
    carried = (weights[:, None] * around).sum(-1, keepdim=True)
    positive = window.clamp_min(0)[:, None]
    was = (positive * around).topk(TOP, dim=-1).values
    was_not = (positive * (1 - around) * inside).topk(TOP, dim=-1).values
    return torch.cat((was, was_not, carried), dim=-1)
