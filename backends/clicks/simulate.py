"""Where a person would click next, if they always chose the middle of the worst error.

The rule of the field (Xu et al., CVPR 2016; Sofiiuk et al., RITM, ICIP 2022): of all pixels that are wrong,
the one farthest from any right pixel, so the middle of the largest error region by its inscribed disc. A miss
is answered with a positive click, a surplus with a negative one.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.clicks.prompts import Click
from backends.core.types import Mask


def next_click(prediction: Mask, truth: Mask, earlier: Sequence[Click] = ()) -> Click | None:
    """The middle of the largest error region, or None where there is no error left to click.

    Pixels that were clicked before are not clicked again. Masks are (H, W) bool of one size.
    """
    missed, surplus = depths(prediction, truth, earlier)
    deepest = missed if missed.max() >= surplus.max() else surplus
    if deepest.max() <= 0:
        return None
    row, column = np.unravel_index(int(deepest.argmax()), deepest.shape)
    return Click(float(column) + 0.5, float(row) + 0.5, deepest is missed)


def loose_click(
    prediction: Mask, truth: Mask, rng: np.random.Generator, earlier: Sequence[Click] = ()
) -> Click | None:
    """As :func:`next_click`, but anywhere in the inner half of that error: people are not that exact."""
    missed, surplus = depths(prediction, truth, earlier)
    deepest = missed if missed.max() >= surplus.max() else surplus
    if deepest.max() <= 0:
        return None
    inner = np.flatnonzero(deepest > 0.5 * deepest.max())
    row, column = np.unravel_index(int(rng.choice(inner)), deepest.shape)
    return Click(float(column) + 0.5, float(row) + 0.5, deepest is missed)


def depths(
    prediction: Mask, truth: Mask, earlier: Sequence[Click] = ()
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(H, W) each: how deep each missed pixel lies among missed ones, each surplus pixel among surplus ones;
    0 elsewhere. What lies outside the frame counts as right, so a border is an edge."""
    found = []
    for wrong in (truth & ~prediction, prediction & ~truth):
        framed = np.pad(wrong.astype(np.uint8), 1)
        depth = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1].copy()
        for click in earlier:
            depth[_pixel(click, depth.shape)] = 0
        found.append(np.asarray(depth, np.float32))
    return found[0], found[1]


def _pixel(click: Click, shape: tuple[int, ...]) -> tuple[int, int]:
    return min(max(int(click.y), 0), shape[0] - 1), min(max(int(click.x), 0), shape[1] - 1)
