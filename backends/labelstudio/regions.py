"""Masks to regions and back: the JSON results of drafts, annotations, predictions and interactive answers.

One region id per object and frame (``object-1_f0007``), so that a later answer replaces the earlier region in
place. What comes in is chosen by (type, from_name) and once per id: with "keep label selected" switched on,
the editor saves every accepted mask a second time under the same id as ``keypointlabels``.
Bad regions are refused one by one; the others go on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.core.errors import BadInput, BadMask
from backends.core.masks import digest
from backends.core.types import FrameMasks, Mask, MaskPrompt
from backends.labelstudio import rle
from backends.labelstudio.drafts import rasterise
from backends.labelstudio.label_config import Control, LabelConfig

MAX_MASK_PIXELS = 50_000_000
"""Regions that claim a larger image are refused before an array is made."""


MAX_REGIONS_READ = 1000
"""Of one result; three objects on 300 frames. The editor itself is slow long before."""


@dataclass(frozen=True)
class Region:
    """One mask as Label Studio holds it."""

    id: str
    from_name: str
    to_name: str
    object_id: str
    frame_index: int
    mask: Mask  # (H, W) bool

    @property
    def digest(self) -> str:
        """The name of exactly these pixels; equals the remembered one when no person touched the mask."""
        return digest(self.mask)


@dataclass(frozen=True)
class Problem:
    """What is wrong with one result: which (``region_id``), where in it (``field``), and in words."""

    region_id: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"region {self.region_id or '(no id)'}, {self.field}: {self.message}"


Refusal = Problem


def region_id(object_id: str, frame_index: int) -> str:
    """``("object 1", 7)`` -> ``object-1_f0007``; a name that loses something in it gets six hex digits."""
    slug = re.sub(r"[^a-z0-9]+", "-", object_id.lower()).strip("-") or "object"
    if slug.replace("-", " ") != object_id:
        slug = f"{slug}-{hashlib.sha256(object_id.encode()).hexdigest()[:6]}"
    return f"{slug}_f{frame_index:04d}"


def read_masks(
    result: object,
    config: LabelConfig,
    n_frames: int,
    size_hw: tuple[int, int] | None = None,
) -> tuple[list[Region], list[Refusal]]:
    """The brush regions of a result, and what had to be left out.

    ``size_hw`` is the frames' real size; None trusts ``original_height`` and ``original_width``. Results of
    other controls are passed over in silence. A region that was emptied with the eraser counts as no region;
    one that carries several labels (``choice="multiple"``) comes once for each, under the same id.
    """
    regions: dict[str, list[Region]] = {}
    refusals: list[Refusal] = []
    found = _brush_results(result, config)
    if len(found) > MAX_REGIONS_READ:
        message = f"holds {len(found)} masks; the first {MAX_REGIONS_READ} are read"
        refusals.append(Problem("", "result", message))
    for item in found[:MAX_REGIONS_READ]:
        try:
            of_item = _regions(item, config, n_frames, size_hw)
        except _Refused as refused:
            refusals.append(refused.problem)
            continue
        if of_item[0].mask.any():
            regions[of_item[0].id] = of_item  # the same id again: the later one is what the editor shows
    return [region for of_item in regions.values() for region in of_item], refusals


def check_result(
    result: object,
    config: LabelConfig,
    n_frames: int,
    size_hw: tuple[int, int],
    *,
    max_regions: int = 150,
) -> list[Problem]:
    """Everything that would make Label Studio show ``result`` wrongly or not at all; empty: send it.

    Label Studio itself takes any prediction (201 for an unknown label and for RLE that is noise), so this
    is asked before every send.
    """
    if not isinstance(result, list):
        return [Problem("", "result", f"wants a list of regions, got {type(result).__name__}")]
    problems: list[Problem] = []
    if len(result) > max_regions:
        problems.append(
            Problem("", "result", f"holds {len(result)} regions; the editor copes with {max_regions}")
        )
    seen: set[str] = set()
    for item in result:
        try:
            region, *more = _regions(item, config, n_frames, size_hw)
        except _Refused as refused:
            problems.append(refused.problem)
            continue
        if more:
            problems.append(Problem(region.id, f"value.{_mask_control(config).kind}", "wants one label"))
        if region.id in seen:
            problems.append(Problem(region.id, "id", "is used twice in this result"))
        seen.add(region.id)
    return problems


def to_results(
    frame_masks: FrameMasks,
    config: LabelConfig,
    size_hw: tuple[int, int],
    *,
    skip: Collection[str] = (),
) -> list[dict[str, Any]]:
    """One frame's masks as regions, one per object; an object that is not visible gives none.

    Objects named in ``skip`` are left out: an interactive answer passes ``frame_masks.anchors`` so that a
    person's region is never covered by a copy of itself. Raises BadInput for an object that is no label of
    the mask control, BadMask for a mask of another size than ``size_hw``.
    """
    control = _mask_control(config)
    results = []
    for object_id, mask in frame_masks.masks.items():
        if object_id in skip or not mask.any():
            continue
        if object_id not in control.labels:
            raise BadInput(_unknown_label(object_id, control))
        if mask.shape != size_hw:
            raise BadMask(
                f"mask of {object_id!r} on frame {frame_masks.frame_index} is "
                f"{mask.shape[1]}x{mask.shape[0]}; the frames are {size_hw[1]}x{size_hw[0]}"
            )
        score = frame_masks.confidence.get(object_id)
        results.append(_result(object_id, frame_masks.frame_index, mask, config, control, score))
    return results


def unite(regions: Iterable[Region]) -> dict[tuple[str, int], Mask]:
    """(object_id, frame_index) -> the union of that object's regions on that frame."""
    united: dict[tuple[str, int], Mask] = {}
    for region in regions:
        key = (region.object_id, region.frame_index)
        united[key] = united[key] | region.mask if key in united else region.mask
    return united


def anchors(regions: Sequence[Region], machine: Mapping[str, Collection[str]]) -> list[MaskPrompt]:
    """What a person drew or changed, one prompt per object and frame, in frame order.

    ``machine`` holds the digests that were handed out per region id. An object on a frame whose regions are
    all still as the machine made them is no anchor; one touched or added stroke makes their union one.
    """
    touched = {(r.object_id, r.frame_index) for r in regions if r.digest not in machine.get(r.id, ())}
    masks = unite(r for r in regions if (r.object_id, r.frame_index) in touched)
    prompts = [MaskPrompt(object_id, frame, mask) for (object_id, frame), mask in masks.items()]
    return sorted(prompts, key=lambda p: (p.frame_index, p.object_id))


class _Refused(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, item: object, field: str, message: str) -> None:
        name = item.get("id") if isinstance(item, dict) else None
        self.problem = Problem(str(name or ""), field, message)
        super().__init__(str(self.problem))


def _brush_results(result: object, config: LabelConfig) -> list[dict[str, Any]]:
    control = config.mask
    if control is None or not isinstance(result, list | tuple):
        return []
    return [
        item
        for item in result
        if isinstance(item, dict)
        and (item.get("type"), item.get("from_name")) == (control.kind, control.name)
    ]


def _regions(
    item: object, config: LabelConfig, n_frames: int, size_hw: tuple[int, int] | None
) -> list[Region]:
    """One result, once for each of its labels. Raises _Refused naming the first field that is wrong."""
    if not isinstance(item, dict):
        raise _Refused(item, "result", f"wants an object, got {type(item).__name__}")
    control = _mask_control(config)
    for field, wanted in (("type", control.kind), ("from_name", control.name), ("to_name", config.image)):
        if item.get(field) != wanted:
            raise _Refused(item, field, f"is {item.get(field)!r}; this configuration wants {wanted!r}")
    name, value = item.get("id"), item.get("value")
    if not isinstance(name, str) or not name:
        raise _Refused(item, "id", "is missing")
    if not isinstance(value, dict):
        raise _Refused(item, "value", f"wants an object, got {type(value).__name__}")
    labels = _labels(item, value, control)
    frame_index = _frame_index(item, config, n_frames)
    size = _size(item, size_hw)
    try:
        mask = rasterise(value, size)
    except BadMask as error:
        raise _Refused(item, "value", str(error)) from error
    return [Region(name, control.name, config.image, label, frame_index, mask) for label in labels]


def _labels(item: dict[str, Any], value: dict[str, Any], control: Control) -> list[str]:
    labels = value.get(control.kind)
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise _Refused(item, f"value.{control.kind}", f"wants a label, got {labels!r}")
    for label in labels:
        if label not in control.labels:
            raise _Refused(item, f"value.{control.kind}", _unknown_label(label, control))
    return list(dict.fromkeys(labels))


def _frame_index(item: dict[str, Any], config: LabelConfig, n_frames: int) -> int:
    index = item.get("item_index", None if config.is_multi_image else 0)
    if isinstance(index, bool) or not isinstance(index, int):
        raise _Refused(item, "item_index", f"wants the frame's number, got {index!r}")
    if not 0 <= index < n_frames:
        raise _Refused(item, "item_index", f"is {index}; the clip has frames 0 to {n_frames - 1}")
    return index


def _size(item: dict[str, Any], size_hw: tuple[int, int] | None) -> tuple[int, int]:
    height, width = item.get("original_height"), item.get("original_width")
    if not isinstance(height, int) or not isinstance(width, int) or height < 1 or width < 1:
        raise _Refused(
            item, "original_width", f"size is {width!r} x {height!r}; wants two whole numbers above 0"
        )
    if size_hw is not None and (height, width) != size_hw:
        raise _Refused(
            item, "original_width", f"size is {width}x{height}; the frames are {size_hw[1]}x{size_hw[0]}"
        )
    if height * width > MAX_MASK_PIXELS:
        raise _Refused(
            item, "original_width", f"{width}x{height} is above the limit of {MAX_MASK_PIXELS} pixels"
        )
    if item.get("image_rotation"):
        raise _Refused(
            item, "image_rotation", "the picture was turned in the editor; turn it back to 0 degrees"
        )
    return height, width


def _mask_control(config: LabelConfig) -> Control:
    if config.mask is None:
        raise BadInput("labelling configuration has no BrushLabels on its image, so no mask can be stored")
    return config.mask


def _unknown_label(label: str, control: Control) -> str:
    known = ", ".join(map(repr, control.labels)) or "none"
    return f"label {label!r} is not in {control.name!r} (known: {known})"


def _result(
    object_id: str, frame_index: int, mask: Mask, config: LabelConfig, control: Control, score: float | None
) -> dict[str, Any]:
    height, width = mask.shape
    result: dict[str, Any] = {
        "id": region_id(object_id, frame_index),
        "type": control.kind,
        "from_name": control.name,
        "to_name": config.image,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": rle.encode(mask), control.kind: [object_id]},
    }
    if config.is_multi_image:
        result["item_index"] = frame_index
    if score is not None and np.isfinite(score):
        result["score"] = float(score)
    return result
