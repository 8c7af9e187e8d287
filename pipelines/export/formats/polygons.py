"""A mask as one polygon without holes: its pixels' outline, parts joined and holes opened by hair-thin cuts.

Outlines run along pixel edges, drawn in by a hundredth of a pixel, so that the polygon covers what the mask
covers and a program that cuts coordinates off to whole pixels gets the mask's own pixels back.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from shapely import LineString, MultiPolygon, Polygon, box, segmentize, unary_union
from shapely.geometry.base import BaseGeometry

from backends.core.types import Mask

INSET_PX = 0.01
CUT_PX = 0.01
"""Width of what joins two parts, or opens a hole; less than twice the inset, so that it stays in one row."""

_STEP_PX = 2.0  # outlines are joined at points not further apart than this
_PASSES = 4  # one opens all holes; more only where cuts met by accident


def outline(mask: Mask) -> list[Polygon]:
    """(H, W) bool -> its parts as valid polygons in pixels, holes in them, the largest first.

    Pixels that touch at a corner only are parts of their own.
    """
    whole = unary_union([box(x0, y, x1, y + 1) for y, x0, x1 in _runs(mask)])
    drawn_in = whole.buffer(-INSET_PX, join_style="mitre", mitre_limit=5.0)
    return sorted(_polygons(drawn_in), key=lambda part: (-part.area, part.bounds))


def as_one(parts: Sequence[Polygon]) -> Polygon:
    """One valid polygon without holes for parts that may have some."""
    joined = unary_union([*parts, *_bridges(parts)]) if len(parts) > 1 else parts[0]
    return _opened(max(_polygons(joined), key=lambda part: part.area))


def _bridges(parts: Sequence[Polygon]) -> list[Polygon]:
    """Bars that join all parts, each from the nearest part that is not joined yet (a shortest tree)."""
    points = [np.asarray(segmentize(part.exterior, _STEP_PX).coords) for part in parts]
    owner = np.repeat(np.arange(len(parts)), [len(own) for own in points])
    every = np.concatenate(points)  # (N, 2) x, y
    nearest_px = np.full(len(every), np.inf)
    partner = np.zeros_like(every)
    waiting = np.ones(len(every), np.bool_)
    newest, bridges = 0, []
    for _ in range(len(parts) - 1):
        waiting &= owner != newest
        _come_nearer(every, points[newest], waiting, nearest_px, partner)
        best = int(np.argmin(np.where(waiting, nearest_px, np.inf)))
        line = LineString([every[best], partner[best]])
        bridges.append(line.buffer(CUT_PX / 2, cap_style="square"))
        newest = int(owner[best])
    return bridges


def _come_nearer(
    every: NDArray[np.float64],
    joined: NDArray[np.float64],
    waiting: NDArray[np.bool_],
    nearest_px: NDArray[np.float64],
    partner: NDArray[np.float64],
) -> None:
    """Note, for each point that waits, the newly joined points that are nearer than any before."""
    from scipy.spatial import cKDTree

    at = np.flatnonzero(waiting)
    distance, which = cKDTree(joined).query(every[at])
    closer = distance < nearest_px[at]
    nearest_px[at[closer]] = distance[closer]
    partner[at[closer]] = joined[which[closer]]


def _opened(polygon: Polygon) -> Polygon:
    """Cut from each hole straight down to the next edge below; holes open into holes, at last outside."""
    for _ in range(_PASSES):
        if not polygon.interiors:
            return polygon
        cuts = [_cut(polygon, Polygon(ring)) for ring in polygon.interiors]
        polygon = max(_polygons(polygon.difference(unary_union(cuts))), key=lambda part: part.area)
    return Polygon(polygon.exterior)


def _cut(polygon: Polygon, hole: Polygon) -> Polygon:
    """From the hole's lowest edge to the next edge of the polygon below it."""
    ring = np.asarray(hole.exterior.coords)
    lowest = float(ring[:, 1].max())
    at = ring[np.isclose(ring[:, 1], lowest, atol=1e-9), 0]
    x = float(at.min()) + min(0.5, float(np.ptp(at)) / 2)
    down = LineString([(x, lowest - CUT_PX), (x, float(polygon.bounds[3]) + 1)])
    pieces = _lines(polygon.intersection(down))
    ends = [piece.bounds[3] for piece in pieces if piece.bounds[1] >= lowest - 2 * CUT_PX]
    return box(x - CUT_PX / 2, lowest - CUT_PX, x + CUT_PX / 2, min(ends, default=lowest) + CUT_PX)


def _runs(mask: Mask) -> list[tuple[int, int, int]]:
    """(row, first column, column behind the last) of each run of set pixels."""
    padded = np.pad(mask, ((0, 0), (1, 1))).astype(np.int8)
    rows, columns = np.nonzero(np.diff(padded, axis=1))
    return list(zip(rows[::2].tolist(), columns[::2].tolist(), columns[1::2].tolist(), strict=True))


def _polygons(geometry: BaseGeometry) -> list[Polygon]:
    if isinstance(geometry, MultiPolygon):
        return list(geometry.geoms)
    return [geometry] if isinstance(geometry, Polygon) and not geometry.is_empty else []


def _lines(geometry: BaseGeometry) -> list[LineString]:
    found = geometry.geoms if hasattr(geometry, "geoms") else [geometry]
    return [one for one in found if isinstance(one, LineString) and not one.is_empty]
