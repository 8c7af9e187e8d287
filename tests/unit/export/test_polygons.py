"""Masks as single polygons: valid, without holes, and the same pixels once they are drawn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from shapely import Polygon

from backends.core.types import Mask
from pipelines.export.formats.polygons import as_one, outline
from tests.export_house import DISC, PARTS, RING
from tests.project_house import block

DOT = block(3, 4, 5, 6)
FULL = block(0, 24, 0, 32)
CORNERS = block(2, 4, 2, 4) | block(4, 6, 4, 6)
NESTED = block(1, 22, 1, 30) & ~block(4, 18, 4, 26) | block(8, 14, 10, 20) & ~block(10, 12, 13, 16)


def drawn(polygon: Polygon, mask: Mask) -> Mask:
    """As programs that train YOLO do it: coordinates cut off to whole pixels, then filled."""
    canvas = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(canvas, [np.asarray(polygon.exterior.coords).astype(np.int32)], 1)
    return canvas.astype(np.bool_)


@pytest.mark.parametrize("mask", [DISC, RING, DOT, FULL], ids=["disc", "hole", "one pixel", "everything"])
def test_one_part_comes_back_to_the_pixel(mask: Mask) -> None:
    [part] = outline(mask)
    assert part.is_valid
    assert part.area == pytest.approx(mask.sum(), rel=0.05)
    polygon = as_one([part])
    assert polygon.is_valid and not polygon.interiors
    assert np.array_equal(drawn(polygon, mask), mask)


@pytest.mark.parametrize("mask", [PARTS, CORNERS, NESTED], ids=["apart", "corners", "ring in ring"])
def test_parts_are_joined_by_lines_one_pixel_wide_at_most(mask: Mask) -> None:
    parts = outline(mask)
    assert len(parts) == 2
    polygon = as_one(parts)
    assert polygon.is_valid and not polygon.interiors
    assert polygon.area == pytest.approx(sum(part.area for part in parts), abs=1.0)
    assert not (mask & ~drawn(polygon, mask)).any()
    assert (drawn(polygon, mask) & ~mask).sum() <= max(mask.shape)


def test_whatever_is_painted_gives_a_valid_polygon_that_covers_it() -> None:
    rng = np.random.default_rng(5)
    for share in np.linspace(0.05, 0.95, 40):
        mask = rng.random((int(rng.integers(1, 20)), int(rng.integers(1, 20)))) < share
        mask[0, 0] = True
        polygon = as_one(outline(mask))
        assert polygon.is_valid and not polygon.interiors
        assert not (mask & ~drawn(polygon, mask)).any()


def test_speckles_take_no_time() -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((240, 320), np.bool_)
    mask[40:200, 60:260] = True
    mask ^= rng.random(mask.shape) < 0.004
    parts = outline(mask)
    assert len(parts) > 100 and sum(len(part.interiors) for part in parts) > 50
    polygon = as_one(parts)
    assert polygon.is_valid and not polygon.interiors
