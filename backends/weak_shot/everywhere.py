"""The final network's answer for a photo: a class at every pixel, among all classes, without any tag."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import nn

from backends.core.types import Image
from backends.weak_shot import subjects
from backends.weak_shot.pictures import reduced

LONG_SIDE_PX = 416  # what runs are trained at, unless told otherwise


def label_map(
    network: nn.Module, image: Image, *, long_side_px: int = LONG_SIDE_PX, device: str = "cpu"
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 -> (H, W) uint8 class ids: the most probable of background and **all** classes.

    Novel classes compete with base classes everywhere (generalised argmax); nothing is told of the photo.
    The photo is reduced to ``long_side_px`` for the network; probabilities, not labels, are enlarged, one
    class at a time, so that memory does not grow with the number of classes.
    """
    height, width = image.shape[:2]
    best = np.full((height, width), -np.inf, np.float32)
    labels = np.zeros((height, width), np.uint8)
    for number, row in enumerate(subjects.classes_of(network, reduced(image, long_side_px), device)):
        if row.shape != (height, width):
            row = np.asarray(cv2.resize(row, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
        higher = row > best
        labels[higher] = number
        np.copyto(best, row, where=higher)
    return labels
