"""Linear algebra on sparse matrices: a power of a walk by Chebyshev polynomials, and Jacobi-CG."""

from __future__ import annotations

from functools import cache
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

Columns = NDArray[np.floating]  # (N, K): one column per class


@cache
def power_series(steps: int, tail: float = 1e-8) -> tuple[float, ...]:
    """Coefficients c_k of ``x ** steps = sum_k c_k T_k(x)``, cut where the rest is below ``tail`` on [-1, 1].

    ``c_k = 2^(1 - n) C(n, (n - k) / 2)`` for k of n's parity, half of it at k = 0: about
    ``sqrt(2 n ln(2 / tail))`` terms instead of n products (Sachdeva and
    Vishnoi, Faster algorithms via approximation theory, 2014, section 3).
    """
    exact = [0.0] * (steps + 1)
    for k in range(steps % 2, steps + 1, 2):
        exact[k] = comb(steps, (steps - k) // 2) / 2 ** (steps - (k > 0))
    left = 0.0
    while len(exact) > 1 and left + exact[-1] < tail:
        left += exact.pop()
    return tuple(exact)


def walk_power(walk: sparse.csr_array, start: Columns, steps: int) -> Columns:
    """``walk ** steps @ start``, (N, K) as ``start``, for real eigenvalues within [-1, 1]."""
    series = power_series(steps)
    before, now = start, walk @ start
    total = series[0] * before + (series[1] * now if len(series) > 1 else 0)
    for coefficient in series[2:]:
        before, now = now, 2 * (walk @ now) - before
        if coefficient:
            total += coefficient * now
    result: Columns = total.astype(start.dtype)
    return result


def plain_power(walk: sparse.csr_array, start: Columns, steps: int) -> Columns:
    """``walk ** steps @ start``, one product a step."""
    for _ in range(steps):
        start = walk @ start
    return start


def solve_spd(
    matrix: sparse.csr_array, right: Columns, start: Columns, *, tolerance: float = 1e-9, laps: int = 400
) -> Columns:
    """The X with ``matrix @ X = right``, (N, K) float64; matrix symmetric positive definite.

    Conjugate gradients with the diagonal as preconditioner, all columns at once, until no residual is larger
    than ``tolerance`` of the largest right-hand side. A system so badly conditioned that ``laps`` rounds do
    not do is factorised.
    """
    inverse = 1 / matrix.diagonal()[:, None]
    found = start.astype(np.float64)
    residual = right - matrix @ found
    wanted = tolerance * _norm(right * inverse).max(initial=0)
    direction = scaled = inverse * residual
    energy = _dot(residual, scaled)
    for _ in range(laps):
        if (_norm(scaled) <= wanted).all():
            return found
        image = matrix @ direction
        length = _ratio(energy, _dot(direction, image))
        found = found + length * direction
        residual = residual - length * image
        scaled = inverse * residual
        energy, old = _dot(residual, scaled), energy
        direction = scaled + _ratio(energy, old) * direction
    solved: Columns = splu(matrix.tocsc()).solve(np.asarray(right, np.float64))
    return solved


def _dot(left: Columns, right: Columns) -> NDArray[np.floating]:
    return np.asarray(np.einsum("nk,nk->k", left, right))


def _norm(columns: Columns) -> NDArray[np.floating]:
    return np.asarray(np.sqrt(_dot(columns, columns)))


def _ratio(top: NDArray[np.floating], bottom: NDArray[np.floating]) -> NDArray[np.floating]:
    """``top / bottom``; 0 where a column has converged and both are 0."""
    return np.asarray(np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0))
