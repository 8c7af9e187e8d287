"""Strokes fill a mask and stay inside it; the brush is as wide as the shape allows."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backends.core.masks import iou
from backends.core.types import Mask
from backends.labelstudio.drafts import rasterise
from pipelines.browser.annotator import middle
from pipelines.browser.brush_strokes import fill, fitting_width

SIZE_HW = (120, 160)
WIDTHS_PX = (1.0, 6.0, 11.0, 16.0, 21.0)


def ellipse(axes: tuple[int, int] = (40, 25)) -> Mask:
    drawn = np.zeros(SIZE_HW, np.uint8)
    cv2.ellipse(drawn, (80, 60), axes, 20, 0, 360, (1,), -1)
    return drawn > 0


def with_hole() -> Mask:
    return ellipse() & ~np.roll(ellipse((12, 9)), 3, axis=1)


def painted(mask: Mask, width_px: float) -> Mask:
    """What the editor's draft of these strokes is read as."""
    height, width = SIZE_HW
    touches = [
        {
            "type": "add",
            "relativePoints": [c for x, y in stroke for c in (100 * x / width, 100 * y / height)],
            "relativeStrokeWidth": 100 * width_px / width,
        }
        for stroke in fill(mask, width_px)
    ]
    return rasterise({"touches": touches}, SIZE_HW)


@pytest.mark.parametrize("mask", [ellipse(), with_hole(), ellipse((60, 5))], ids=["whole", "hole", "thin"])
def test_strokes_fill_the_mask_and_hardly_leave_it(mask: Mask) -> None:
    width_px = fitting_width(mask, WIDTHS_PX)
    inked = painted(mask, width_px)
    assert iou(inked, mask) > 0.93
    rim = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert not (inked & ~rim).any(), "more than a pixel outside"


def test_a_thin_shape_gets_a_narrower_brush() -> None:
    assert fitting_width(ellipse((60, 5)), WIDTHS_PX) < fitting_width(ellipse(), WIDTHS_PX)
    assert fitting_width(np.eye(120, 160) > 0, WIDTHS_PX) == 1.0, "nothing fits: the narrowest"


def test_a_mask_at_the_edge_is_filled_too() -> None:
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[:40, :50] = True
    assert iou(painted(mask, 6), mask) > 0.93


def test_the_middle_lies_inside() -> None:
    x, y = middle(with_hole())
    assert with_hole()[int(y), int(x)]
