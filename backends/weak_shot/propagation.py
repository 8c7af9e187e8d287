"""Boundary-aware two-stage propagation of class scores (RETAB, 3.4), on an image's own grid.

Stage 1 walks among cells that lie on no predicted boundary; cells on one stand still. Stage 2 fills those
from around them while everything else stands still: its limit is the harmonic extension, found by one linear
solve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from backends.core.errors import BadInput
from backends.weak_shot.edge_cut import cut_edges
from backends.weak_shot.linear import Columns, plain_power, solve_spd, walk_power
from backends.weak_shot.neighbourhood import affinity_matrix

Method = Literal["chebyshev", "steps", "implicit"]
_LINK = 1e-6  # a weaker edge carries nothing within 256 steps; what hangs on such edges alone is an island


@dataclass(frozen=True)
class Walk:
    """How scores spread.

    beta: exponent on affinities. steps: of the walk in stage 1. radius: reach in cells. stages: 1 leaves
    cells on boundaries as they came. method: ``steps`` multiplies ``steps`` times; ``chebyshev`` gives the
    same to 1e-5 in a third of the products; ``implicit`` solves ``(D + steps (D - A)) y = D y0``, another
    kernel of like reach. cut: weaken edges that cross a boundary as well (IRN). threshold: boundary
    probability that makes a boundary.
    """

    beta: float = 8.0
    steps: int = 256
    radius: int = 5
    stages: int = 2
    method: Method = "chebyshev"
    cut: bool = False
    threshold: float = 0.5

    def __post_init__(self) -> None:
        for name, fits, wanted in (
            ("beta", self.beta > 0, "above 0"),
            ("steps", self.steps >= 1, "at least 1"),
            ("radius", self.radius >= 2, "at least 2"),
            ("stages", self.stages in (1, 2), "1 or 2"),
            ("method", self.method in _SPREAD, " or ".join(_SPREAD)),
            ("threshold", 0 < self.threshold <= 1, "above 0 and at most 1"),
        ):
            if not fits:
                raise BadInput(f"walk: {name} is {getattr(self, name)!r}; it must be {wanted}")


def propagate(
    scores: NDArray[np.float32],
    pairs: NDArray[np.float32],
    boundary: NDArray[np.bool_] | NDArray[np.float32] | None,
    walk: Walk,
) -> NDArray[np.float32]:
    """(K, h, w) float32 scores after the walk, for K classes of which row 0 is background.

    ``pairs`` (n_off, h, w) are affinities in [0, 1] in the order of ``half_plane(walk.radius)``; ``boundary``
    (h, w) is a mask or a probability, None for a plain random walk. Boundary cells that nothing reaches keep
    their scores. Raises BadInput for shapes that do not match.
    """
    shape = scores.shape
    _check(scores, pairs, boundary)
    if boundary is not None and walk.cut:
        pairs = cut_edges(pairs, boundary, walk.radius)
    affinity = affinity_matrix(pairs, walk.radius, walk.beta)
    columns = np.ascontiguousarray(scores.reshape(shape[0], -1).T, dtype=np.float32)
    blocked = np.zeros(len(columns), bool) if boundary is None else boundary.ravel() >= walk.threshold
    free, held = np.flatnonzero(~blocked), np.flatnonzero(blocked)
    result = columns.copy()
    if len(free):
        among = affinity if not len(held) else affinity[free][:, free]
        result[free] = _SPREAD[walk.method](among, columns[free], walk.steps)
    if len(held) and walk.stages == 2:
        reached = held[_reached(affinity[held], held)]
        result[reached] = _fill(affinity[reached], result, reached)
    return np.ascontiguousarray(result.T).reshape(shape)


def transition(affinity: sparse.csr_array) -> sparse.csr_array:
    """P = D^-1 (A + I), rows summing to 1: the transpose of RETAB's column-normalised T, so y T is P y^T."""
    with_self = affinity + sparse.eye_array(affinity.shape[0], dtype=affinity.dtype, format="csr")
    degree = with_self.sum(axis=1, dtype=np.float64)
    walk: sparse.csr_array = with_self.multiply((1 / degree).astype(affinity.dtype)[:, None]).tocsr()
    return walk


def _chebyshev(affinity: sparse.csr_array, columns: Columns, steps: int) -> Columns:
    return walk_power(transition(affinity), columns, steps)


def _steps(affinity: sparse.csr_array, columns: Columns, steps: int) -> Columns:
    return plain_power(transition(affinity), columns, steps)


def _implicit(affinity: sparse.csr_array, columns: Columns, steps: int) -> Columns:
    """The y with (D + mu (D - A)) y = D y0, mu = steps; D counts the self-loops, in D - A they cancel."""
    wide = affinity.astype(np.float64)
    outgoing = wide.sum(axis=1)
    degree = 1 + outgoing
    system = sparse.diags_array(degree + steps * outgoing) - steps * wide
    return solve_spd(system.tocsr(), degree[:, None] * columns, columns)


_SPREAD = {"chebyshev": _chebyshev, "steps": _steps, "implicit": _implicit}


def _reached(rows: sparse.csr_array, held: NDArray[np.intp]) -> NDArray[np.bool_]:
    """(n_held,) whether a chain of boundary cells links each to a cell that is none; the others are islands.

    ``rows`` (n_held, N) are the affinities of the boundary cells to all cells.
    """
    links = rows > _LINK
    among = links[:, held]
    outward = links.sum(axis=1) > among.sum(axis=1)
    count, component = connected_components(among, directed=False)
    lands = np.zeros(count, bool)
    lands[component[outward]] = True
    result: NDArray[np.bool_] = lands[component]
    return result


def _fill(rows: sparse.csr_array, columns: Columns, held: NDArray[np.intp]) -> Columns:
    """The harmonic extension of all other cells into those in ``held``: (D_b - A_bb) y_b = A_bn y_n.

    ``rows`` (n_held, N) are their affinities to all cells; every one of them is reached, so the system is
    positive definite.
    """
    wide = rows.astype(np.float64)
    system = sparse.diags_array(wide.sum(axis=1)) - wide[:, held]
    known = columns.astype(np.float64)
    known[held] = 0
    return solve_spd(system.tocsr(), wide @ known, columns[held])


def _check(
    scores: NDArray[np.float32], pairs: NDArray[np.float32], boundary: NDArray[np.generic] | None
) -> None:
    if scores.ndim != 3 or scores.shape[1:] != pairs.shape[1:]:
        raise BadInput(f"scores of shape {scores.shape}, affinities of {pairs.shape}; grids must match")
    if boundary is not None and boundary.shape != scores.shape[1:]:
        raise BadInput(f"a boundary of shape {boundary.shape} on a grid of {scores.shape[1:]}")
