"""The rows of ``study looking-back``: each differs in one switch from the network as it is trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from backends.core.errors import BadInput

_T = "network.temporal"
# row -> what differs from the second phase as it is: rho .5, windows (s, e, eps) = (1, 5, 1), NSM of r = 5,
# temporal loss; the most telling rows come first
ROWS: dict[str, tuple[str, ...]] = {
    "usual": (),
    "rho-0": (f"{_T}.rho=0.0",),
    "random": (f"{_T}.queries=random",),
    "gradient": (f"{_T}.queries=gradient",),
    "copies": (f"{_T}.keys=copies",),
    "no-temporal-loss": ("loss.steady=0.0",),
    "rho-0.25": (f"{_T}.rho=0.25",),
    "rho-0.75": (f"{_T}.rho=0.75",),
    "rho-1": (f"{_T}.rho=1.0",),
    "window-1-3-1": (f"{_T}.end=3",),
    "window-1-7-1": (f"{_T}.end=7",),
    "window-2-5-1": (f"{_T}.start=2",),
    "radius-1": (f"{_T}.radius=1",),
    "radius-3": (f"{_T}.radius=3",),
    "radius-7": (f"{_T}.radius=7",),
}
# Left open by the paper; not trained unless they are named.
MORE_ROWS: dict[str, tuple[str, ...]] = {
    "first-self": (f"{_T}.first=self",),
    "past-gradients": ("past_gradients=true",),
}
# row -> fields of TemporalConfig that are changed in trained weights
AT_TEST: dict[str, dict[str, Any]] = {
    "usual": {},
    "rho-0.25": {"rho": 0.25},
    "rho-0.75": {"rho": 0.75},
    "rho-1": {"rho": 1.0},
    "random": {"queries": "random"},
    "gradient": {"queries": "gradient"},
    "copies": {"keys": "copies"},
    "window-1-3-1": {"end": 3},
    "radius-1": {"radius": 1},
    "radius-3": {"radius": 3},
    "radius-7": {"radius": 7},
    "frames-1": {"frames": 1},
    "frames-3": {"frames": 3},
}
BASE = "rho-0"
"""The row that the others are compared with: nothing looks back."""


def chosen(rows: str | None, option: str, default: Iterable[str], known: Iterable[str]) -> list[str]:
    """The rows that were asked for. Raises BadInput for an unknown one."""
    wanted = [name for name in (rows or "").split(",") if name] or list(default)
    if unknown := [name for name in wanted if name not in known]:
        raise BadInput(f"{option} {','.join(unknown)}: unknown; known: {', '.join(known)}")
    return wanted
