"""Builders of a tagged and painted project: results as the editor saves them, tasks as the API gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backends.core.types import Mask
from backends.labelstudio import rle
from backends.labelstudio.label_config import LabelConfig
from pipelines.export.annotations import read_work
from pipelines.weak_shot_project.classes import ProjectPhoto

CLASSES = ("skin", "hat", "dog")
SIZE_HW = (24, 32)


def config_xml(classes: Sequence[str] = CLASSES, tags: Sequence[str] | None = None) -> str:
    """The shipped configuration in its essentials, with these classes."""
    choices = "".join(f'<Choice value="{name}"/>' for name in (classes if tags is None else tags))
    labels = "".join(f'<Label value="{name}"/>' for name in classes)
    return (
        '<View><Image name="img" value="$image"/>'
        f'<Choices name="tags" toName="img" choice="multiple">{choices}</Choices>'
        f'<BrushLabels name="mask" toName="img" smart="false">{labels}</BrushLabels>'
        '<RectangleLabels name="box" toName="img"><Label value="skin"/></RectangleLabels></View>'
    )


CONFIG = LabelConfig.parse(config_xml())


def block(y0: int, y1: int, x0: int, x1: int, size_hw: tuple[int, int] = SIZE_HW) -> Mask:
    mask = np.zeros(size_hw, np.bool_)
    mask[y0:y1, x0:x1] = True
    return mask


def painted(label: str, mask: Mask, region_id: str = "", **changes: Any) -> dict[str, Any]:
    """A brush region."""
    height, width = mask.shape
    value = {"format": "rle", "rle": rle.encode(mask), "brushlabels": [label]}
    plain = {
        "id": region_id or f"hand-{label}",
        "type": "brushlabels",
        "from_name": "mask",
        "to_name": "img",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "origin": "manual",
        "value": value,
    }
    return plain | changes


def ticked(*names: str) -> dict[str, Any]:
    """The tags of a picture."""
    return {
        "id": "t1",
        "type": "choices",
        "from_name": "tags",
        "to_name": "img",
        "value": {"choices": list(names)},
    }


def annotation(number: int, result: Sequence[Mapping[str, Any]], **changes: Any) -> dict[str, Any]:
    """One annotation; later numbers were saved later."""
    return {
        "id": number,
        "completed_by": 1,
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": f"2026-01-01T00:00:{number:02d}Z",
        "updated_at": f"2026-01-02T00:00:{number:02d}Z",
        "result": list(result),
    } | changes


def task(
    *annotations: Mapping[str, Any], number: int = 1, predictions: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    return {"id": number, "data": {}, "annotations": list(annotations), "predictions": list(predictions)}


def photo(
    *results: Sequence[Mapping[str, Any]], number: int = 1, held_out: bool = False, name: str = ""
) -> ProjectPhoto:
    """A photo with one annotation per result."""
    work = read_work(
        task(*(annotation(i, r) for i, r in enumerate(results, 1)), number=number), CONFIG, SIZE_HW
    )
    tags = tuple(label for label in CLASSES if label in work.tags)
    return ProjectPhoto(name or f"task-{number:06d}", Path("p.png"), SIZE_HW, held_out, work, tags)
