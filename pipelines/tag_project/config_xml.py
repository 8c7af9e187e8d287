"""The shipped configurations with other classes in them."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import labelstudio_config
from backends.core.errors import BadInput
from backends.labelstudio.label_config import (
    LABEL_CLIP,
    MAKE_MASKS,
    PROPAGATE,
    LabelConfig,
    refuse_unlabellable,
    refuse_untaggable,
    refuse_unusable,
)

MAX_CLASSES = 254  # a label map has one byte per pixel: 0 is background, 255 is "ignore"
_COMMANDS = {LABEL_CLIP, MAKE_MASKS, PROPAGATE}
_EVERY_TOOL = tuple((tag, "Label") for tag in ("BrushLabels", "KeyPointLabels", "RectangleLabels"))
_GOLDEN = 0.618034  # of the colour circle: neighbours in the list look different


def shipped_xml(name: str = "weak_shot") -> str:
    """A configuration as it is."""
    return (Path(labelstudio_config.__file__).parent / f"{name}.xml").read_text()


def weak_shot_xml(classes: Sequence[str]) -> str:
    """``weak_shot.xml`` with ``classes`` as choices, boxes and brushes, one colour each.

    Raises BadInput for no class, an empty or a repeated name, a command's name, or too many.
    """
    tools = (("Choices", "Choice"), ("RectangleLabels", "Label"), ("BrushLabels", "Label"))
    xml = _with_classes(shipped_xml(), check_classes(classes), tools)
    refuse_untaggable(LabelConfig.parse(xml))
    return xml


def video_object_xml(objects: Sequence[str]) -> str:
    """``video_object.xml`` with ``objects`` in every tool. Raises BadInput as :func:`weak_shot_xml`."""
    xml = _with_classes(shipped_xml("video_object"), check_classes(objects), _EVERY_TOOL)
    refuse_unusable(LabelConfig.parse(xml))
    return xml


def video_semantic_xml(classes: Sequence[str] = ()) -> str:
    """``video_semantic.xml`` with ``classes`` in every tool; none: as it is, with CamVid's.

    Raises BadInput as :func:`weak_shot_xml`.
    """
    shipped = shipped_xml("video_semantic")
    if not classes:
        return shipped
    xml = _with_classes(shipped, check_classes(classes), _EVERY_TOOL)
    refuse_unlabellable(LabelConfig.parse(xml))
    return xml


def _with_classes(shipped: str, names: Sequence[str], tools: Sequence[tuple[str, str]]) -> str:
    """Each of ``tools`` (tag, tag of its labels) with ``names`` instead of its own, commands kept."""
    root = ElementTree.fromstring(shipped)
    for tag, item in tools:
        control = root.find(f".//{tag}")
        assert control is not None, f"the configuration has no {tag}"
        commands = [old for old in control if old.get("value") in _COMMANDS]
        for old in list(control):
            control.remove(old)
        for number, name in enumerate(names):
            colour = {"background": _colour(number)} if item == "Label" else {}
            ElementTree.SubElement(control, item, {"value": name, **colour})
        control.extend(commands)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """The names without blanks around them. Raises BadInput."""
    names = tuple(name.strip() for name in classes)
    if not names or not all(names):
        raise BadInput("every class wants a name: --labels dog,cat,sheep")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadInput(f"class {twice[0]!r} is named twice; one name is one class")
    if command := _COMMANDS & set(names):
        raise BadInput(f"{min(command)!r} is a command's name; choose another for the class")
    if len(names) > MAX_CLASSES:
        raise BadInput(f"{len(names)} classes; a label map holds at most {MAX_CLASSES}")
    return names


def _colour(number: int) -> str:
    rgb = colorsys.hsv_to_rgb(number * _GOLDEN % 1.0, 0.75, 0.9)
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)
