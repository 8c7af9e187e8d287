"""What each network is taught: contour bands, mixed labels for affinities, labels of the final network.

Label maps are (H, W) uint8: 0 background, 1.. classes, 255 not known (padding, void, novel pixels).
Everything here starts from ``Photos.base_truth``, in which novel pixels are 255 already: that is the guard
against novel masks leaking in. Source: RETAB (weak-shot semantic segmentation).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadMask

Labels = NDArray[np.uint8]
Flags = NDArray[np.bool_]

IGNORE = 255
OUTSIDE, INSIDE, CONTOUR = 0, 1, 2
"""Values of a boundary target: background, object, the band along a contour; IGNORE besides."""
BAND_PX = 5
_BESIDE = 254  # stands for "whatever lies beside an object" while contours are looked for


def contour_band(labels: Labels, width_px: int = BAND_PX) -> Flags:
    """(H, W) bool: pixels whose ``width_px`` square holds two different known labels.

    Unknown pixels are no side of a contour, so padding and void make none; an unknown seam between two known
    regions, as the void contours of Pascal VOC are, is one.
    """
    if width_px < 1 or width_px % 2 == 0:
        raise BadMask(f"a contour band is an odd number of pixels wide, not {width_px}")
    square = np.ones((width_px, width_px), np.uint8)
    known = labels != IGNORE
    highest = _dilated(np.where(known, labels, 0).astype(np.uint8), square)
    lowest = 255 - _dilated(255 - np.where(known, labels, IGNORE).astype(np.uint8), square)
    # where nothing is known `lowest` stays 255, above `highest`
    return np.asarray(lowest < highest, np.bool_)


def boundary_target(truth: Labels, width_px: int = BAND_PX) -> Labels:
    """(H, W) uint8 of OUTSIDE, INSIDE, CONTOUR and IGNORE, from a whole label map of a base photo."""
    target = np.where(truth == IGNORE, IGNORE, np.where(truth > 0, INSIDE, OUTSIDE)).astype(np.uint8)
    target[contour_band(truth, width_px)] = CONTOUR
    return target


def boundary_target_of_objects(truth: Labels, width_px: int = BAND_PX) -> Labels:
    """The same from a photo of which only base objects are known: the rest is neither object nor background.

    An object's own outline is a contour whatever lies beyond it. What lies beyond stays unknown, so the
    outline of a novel object is not told.
    """
    objects = objects_only(truth)
    sides = np.where(objects == IGNORE, _BESIDE, objects).astype(np.uint8)
    band = contour_band(sides, width_px)
    return np.where(band, CONTOUR, np.where(objects == IGNORE, IGNORE, INSIDE)).astype(np.uint8)


def objects_only(truth: Labels) -> Labels:
    """Known objects stay; background becomes unknown, for beside a novel object it would draw its outline."""
    return np.where(truth == 0, IGNORE, truth).astype(np.uint8)


def over(upper: Labels, lower: Labels) -> Labels:
    """``upper`` where it is known, ``lower`` elsewhere. Raises BadMask when their sizes differ."""
    _same_size(upper, lower, "labels")
    return np.where(upper == IGNORE, lower, upper).astype(np.uint8)


def without_boundary(seeds: Labels, boundary: Flags) -> Labels:
    """Seeds with the pixels of the predicted boundary unknown: there responses are wrong most often."""
    _same_size(seeds, boundary, "seeds and boundary")
    return np.where(boundary, IGNORE, seeds).astype(np.uint8)


def _dilated(values: Labels, square: Labels) -> Labels:
    # outside the picture nothing is known: 0 never wins a maximum
    grown = cv2.dilate(values, square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(grown, np.uint8)


def _same_size(one: NDArray[np.generic], other: NDArray[np.generic], what: str) -> None:
    if one.shape != other.shape:
        raise BadMask(
            f"{what} of different size: {one.shape[1]}x{one.shape[0]}, {other.shape[1]}x{other.shape[0]}"
        )
