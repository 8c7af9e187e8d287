"""Builders of the Label Studio JSON that these tests read: one region, one click, one request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from backends.core.types import Mask
from backends.labelstudio import rle
from backends.labelstudio.label_config import LabelConfig

CONFIG_XML = (Path(__file__).resolve().parents[3] / "labelstudio_config" / "video_object.xml").read_text()
CONFIG = LabelConfig.parse(CONFIG_XML)
SIZE_HW = (24, 32)
N_FRAMES = 5


def box_mask(y0: int, y1: int, x0: int, x1: int) -> Mask:
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


BLOCK = box_mask(4, 12, 6, 20)


def stroke(*points: float, width: float = 10.0, kind: str = "add") -> dict[str, Any]:
    """A touch as the editor writes it; points in percent, x and y in turn."""
    return {"type": kind, "relativePoints": list(points), "relativeStrokeWidth": width}


def region(mask: Mask | None = None, **changes: Any) -> dict[str, Any]:
    """A brush region; ``changes`` replace fields, ``value=`` replaces the whole value."""
    value = {"format": "rle", "rle": rle.encode(BLOCK if mask is None else mask), "brushlabels": ["object 1"]}
    plain = {
        "id": "r1",
        "type": "brushlabels",
        "from_name": "mask",
        "to_name": "img",
        "item_index": 2,
        "original_width": SIZE_HW[1],
        "original_height": SIZE_HW[0],
        "image_rotation": 0,
        "value": value,
    }
    return {**plain, **changes}


def click(label: str = "object 1", x: float = 50, y: float = 25, **changes: Any) -> dict[str, Any]:
    """A smart keypoint as the editor sends it."""
    plain = {
        "id": "click-1",
        "type": "keypointlabels",
        "from_name": "point",
        "to_name": "img",
        "item_index": 3,
        "original_width": 320,
        "original_height": 240,
        "image_rotation": 0,
        "is_positive": True,
        "origin": "manual",
        "value": {"x": x, "y": y, "width": 0.286, "labels": [label], "keypointlabels": [label]},
    }
    return {**plain, **changes}


def drag(label: str = "object 1", **value: Any) -> dict[str, Any]:
    """A smart rectangle as the editor sends it."""
    box = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": [label], **value}
    return {**click(), "id": "box-1", "type": "rectanglelabels", "from_name": "box", "value": box}


def request(context: object, **changes: Any) -> dict[str, Any]:
    """The body of ``POST /predict``."""
    task = {
        "id": 7,
        "data": {"frames": [f"/data/local-files/?d=c/{i}.png" for i in range(N_FRAMES)]},
        "annotations": [],
        "predictions": [],
        "drafts": [],
    }
    plain = {
        "tasks": [task],
        "project": "16.1795331125",
        "label_config": CONFIG_XML,
        "params": {"login": None, "password": None, "context": context},
    }
    return {**plain, **changes}
