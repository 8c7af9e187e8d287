"""Tags: the Choices ticked for a picture, read out of a result and written into one.

A draft holds them like an annotation does. A tag counts when it is a choice of the configuration *and* a
label that a mask can carry; one that is not is told, the others go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backends.labelstudio.label_config import LabelConfig


@dataclass(frozen=True)
class Tags:
    """What is ticked: usable tags in the order of the brush's labels, and those no mask can be made for."""

    names: tuple[str, ...]
    unknown: tuple[str, ...] = ()


def read_tags(result: object, config: LabelConfig) -> Tags:
    """The tags in a result. Results of other controls are passed over in silence."""
    control = config.tags
    items = result if isinstance(result, list | tuple) else ()
    ticked: list[str] = []
    for item in items:
        if control is None or not isinstance(item, Mapping):
            continue
        if (item.get("type"), item.get("from_name")) != (control.kind, control.name):
            continue
        value = item.get("value")
        chosen = value.get(control.kind) if isinstance(value, Mapping) else None
        ticked += [str(name) for name in chosen] if isinstance(chosen, list) else []
    return sorted_tags(ticked, config)


def sorted_tags(names: Iterable[str], config: LabelConfig) -> Tags:
    """``names`` once each, told apart by whether a mask can carry them."""
    given = dict.fromkeys(names)
    known = tuple(name for name in config.objects if name in given)
    return Tags(known, tuple(name for name in given if name not in known))


def tags_in_data(data: Mapping[str, object], config: LabelConfig) -> Tags:
    """Tags that came with the task (``data["tags"]``, a list of words): what is known before anyone looks."""
    listed = data.get("tags")
    return sorted_tags([str(name) for name in listed] if isinstance(listed, list) else [], config)


def tags_result(names: Sequence[str], config: LabelConfig, size_hw: tuple[int, int]) -> list[dict[str, Any]]:
    """The ticked tags as a result, so that a prediction opens with its tags; empty without tags."""
    control = config.tags
    chosen = [name for name in names if control is not None and name in control.labels]
    if control is None or not chosen:
        return []
    height, width = size_hw
    return [
        {
            "id": "tags",
            "type": control.kind,
            "from_name": control.name,
            "to_name": config.image,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {control.kind: chosen},
        }
    ]
