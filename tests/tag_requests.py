"""Builders of what Label Studio sends for a project whose tags become masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from backends.core.types import Mask
from backends.labelstudio.label_config import LabelConfig
from pipelines.tag_project.config_xml import weak_shot_xml
from tests import predict_requests
from tests.predict_requests import SIZE_HW, annotation, draft

CLASSES = ("dog", "cat", "sheep")
TAG_XML = weak_shot_xml(CLASSES)
TAG_CONFIG = LabelConfig.parse(TAG_XML)

__all__ = ["CLASSES", "SIZE_HW", "TAG_CONFIG", "TAG_XML", "annotation", "draft"]


def choices(*names: str, from_name: str = "tags") -> dict[str, Any]:
    """The ticked tags as the editor saves them."""
    head = {"id": "t", "type": "choices", "from_name": from_name, "to_name": "img", "origin": "manual"}
    return {**head, "value": {"choices": list(names)}}


def painted(region_id: str, name: str, mask: Mask) -> dict[str, Any]:
    """A brush region on the picture."""
    return _on_picture(predict_requests.brush(region_id, name, 0, mask))


def make_masks(trigger: str = "go") -> dict[str, Any]:
    """The click with the command."""
    return _on_picture(predict_requests.click(trigger, "Make masks", 0, 30, 20))


def boxed(
    name: str, trigger: str = "box", corners: tuple[float, float, float, float] = (30, 10, 50, 30)
) -> dict[str, Any]:
    """A smart box of a class."""
    return _on_picture(predict_requests.box(trigger, name, 0, corners))


def picture_task(task_id: int, picture: str = "photos/a.png", **parts: Any) -> dict[str, Any]:
    """A task as it stands in a request."""
    data = {"image": f"/data/local-files/?d={picture}", **parts.pop("data", {})}
    return {"id": task_id, "data": data, "annotations": [], "predictions": [], "project": 16, **parts}


def batch(*tasks: dict[str, Any]) -> dict[str, Any]:
    """ "Retrieve predictions"."""
    return predict_requests.batch(*tasks, label_config=TAG_XML)


def interactive(one: dict[str, Any], gestures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A smart click or box."""
    return predict_requests.interactive(one, gestures, label_config=TAG_XML)


def write_picture(path: Path, seed: int = 7, size_hw: tuple[int, int] = SIZE_HW) -> Path:
    """A PNG of seeded noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return path


def _on_picture(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key != "item_index"}
