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
NEVER = 1e3
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
    _check(rows, columns, method, eps, g)
    with torch.no_grad(), torch.autocast(template.device.type, enabled=False):
        y = template.detach().double()
        if method != "svd":
            return isometry_of_gram(gram_of(y), rows, method=method, eps=eps, g=g).to(template.dtype)
        _, values, vh = torch.linalg.svd(y * _to_unit_spectrum(gram_of(y)), full_matrices=False)
        return _bounded(values, vh.transpose(-1, -2), eps, g).to(template.dtype)


def gram_of(template: Tensor) -> Tensor:
    """``YᵀY`` (..., C, C) in float64: what isometry needs to know, and additive over a template's parts."""
    y = template.detach().double()
    return y.transpose(-1, -2) @ y


def isometry_of_gram(gram: Tensor, rows: int, *, method: Svb, eps: float = 0.2, g: float = 1.0) -> Tensor:
    """:func:`isometry` from ``YᵀY`` alone, float64; a template that grows adds its new rows' Gram matrix."""
    columns = gram.shape[-1]
    if method == "off":
        return torch.eye(columns, device=gram.device, dtype=gram.dtype).expand_as(gram)
    _check(rows, columns, method, eps, g)
    with torch.no_grad(), torch.autocast(gram.device.type, enabled=False):
        scaled = gram * _to_unit_spectrum(gram) ** 2
        if method == "ns5":
            return _newton_schulz(scaled)
        squares, vectors = torch.linalg.eigh(scaled)
        return _bounded(squares.clamp_min(0).sqrt(), vectors, eps, g)


def _check(rows: int, columns: int, method: Svb, eps: float, g: float) -> None:
    if rows < columns:
        raise BadInput(f"template has {rows} rows for {columns} channels; isometry needs at least {columns}")
    if eps < 0:
        raise BadInput(f"svb_eps is {eps}; it must be 0 or more")
    if method == "ns5" and g != 1:
        raise BadInput(f"svb_g is {g}; Newton-Schulz steps lead to g = 1 only, use eigh or svd")


def _to_unit_spectrum(gram: Tensor) -> Tensor:
    """The factor that brings the mean squared singular value to 1, so that the band around 1 means something.

    For unit rows it cancels against the factor that keeps similarities of order one at every grid size, so
    ``A`` is used as it is; rows of zeros (padding) then change nothing.
    """
    squares = gram.diagonal(dim1=-2, dim2=-1).sum(-1).clamp_min(1e-24)
    return (gram.shape[-1] / squares).sqrt()[..., None, None]


def _bounded(values: Tensor, vectors: Tensor, eps: float, g: float) -> Tensor:
    bounded = values.clamp(1 / (1 + eps), 1 + eps)
    kept = values > _RANK_FLOOR * values.amax(-1, keepdim=True)
    gain = torch.where(kept, bounded / values.clamp_min(1e-12), torch.zeros_like(values))
    return vectors @ (torch.where(kept, gain**g, gain)[..., :, None] * vectors.transpose(-1, -2))


def _newton_schulz(gram: Tensor, steps: int = 5) -> Tensor:
    """The product of the steps' polynomials in ``XᵀX``: only C x C matrices."""
    norm = gram.diagonal(dim1=-2, dim2=-1).sum(-1).clamp_min(1e-24).sqrt()[..., None, None]
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    a = identity / norm
    for _ in range(steps):
        now = a.transpose(-1, -2) @ gram @ a
        first, second, third = _QUINTIC
        a = a @ (first * identity + second * now + third * now @ now)
    return a


def rows_of(positions: Tensor) -> tuple[Tensor, Tensor]:
    """Soft object masks on template positions (..., N) -> foreground and background rows (bool).

    Negative shares mean that nobody said: such rows are neither. An object smaller than a cell still owns the
    cells where it is largest.
    """
    top = positions.amax(-1, keepdim=True)
    foreground = (positions >= torch.minimum(torch.full_like(top, 0.5), 0.9 * top)) & (top > 0)
    return foreground, (positions >= 0) & (positions < 0.5)


def bias_of(rows: Tensor) -> Tensor:
    """Chosen rows (bool) as what to add to a similarity: 0, or so much less that it never is the best."""
    return torch.where(rows, 0.0, -NEVER)


def best(similarity: Tensor, bias: Tensor, count: int) -> Tensor:
    """The ``count`` largest similarities over chosen rows: (B, P, N), (B, K, N) -> (B, K, P, count).

    ``bias`` is 0 for chosen rows and ``-NEVER`` for others (:func:`bias_of`); where too few are chosen the
    rest is -1.
    """
    biased = similarity[:, None] + bias[:, :, None]
    if biased.shape[-1] < count:
        biased = torch.nn.functional.pad(biased, (0, count - biased.shape[-1]), value=-1.0)
    if count == 1:
        return biased.amax(-1, keepdim=True).clamp_min(-1.0)
    return biased.topk(count, dim=-1).values.clamp_min(-1.0)


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
    return torch.where(inside, window, -1.0)


def around(previous: Tensor, index: Tensor) -> Tensor:
    """The previous masks in each position's window: (B, K, P), (P, D) -> (B, K, P, D)."""
    return previous[:, :, index.reshape(-1)].reshape(*previous.shape[:2], *index.shape)


def carried(window: Tensor, near: Tensor) -> Tensor:
    """The previous masks moved by the softmax over the window (temperature 0.07): -> (B, K, P, 1).

    ``window`` (B, P, D) from :func:`local_correlation`, ``near`` (B, K, P, D) from :func:`around`.
    """
    weights = torch.softmax(window / 0.07, dim=-1)
    return (weights[:, None] * near).sum(-1, keepdim=True)


def local_tops(window: Tensor, near: Tensor) -> Tensor:
    """The best similarities to where the object was, and to where it was not: -> (B, K, P, 2*TOP)."""
    positive = window.clamp_min(0)[:, None]  # entries outside the frame are -1, hence 0 on both sides
    was = (positive * near).topk(TOP, dim=-1).values
    was_not = (positive * (1 - near)).topk(TOP, dim=-1).values
    return torch.cat((was, was_not), dim=-1)


def local_volumes(window: Tensor, near: Tensor) -> Tensor:
    """Both gated correlation volumes whole: -> (B, K, P, 2*D), for a learned reduction."""
    positive = window.clamp_min(0)[:, None]
    return torch.cat((positive * near, positive * (1 - near)), dim=-1)
