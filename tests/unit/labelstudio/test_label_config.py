"""The shipped configuration is what MaskLoop needs; unusable ones are refused naming the missing tag."""

from __future__ import annotations

import re
from typing import Any

import pytest

from backends.core.errors import BadLabelConfig
from backends.labelstudio.label_config import (
    MAX_XML_BYTES,
    MAX_XML_DEPTH,
    PROPAGATE,
    LabelConfig,
    refuse_unusable,
)
from tests.unit.labelstudio.shapes import CONFIG, CONFIG_XML


def test_the_shipped_configuration() -> None:
    refuse_unusable(CONFIG)
    assert (CONFIG.image, CONFIG.data_key, CONFIG.is_multi_image) == ("img", "frames", True)
    assert CONFIG.mask and CONFIG.point and CONFIG.box
    assert [c.name for c in (CONFIG.mask, CONFIG.point, CONFIG.box)] == ["mask", "point", "box"]
    assert CONFIG.objects == CONFIG.box.labels == ("object 1", "object 2")
    assert CONFIG.point.labels == (*CONFIG.objects, PROPAGATE)
    assert CONFIG.control("mask") is CONFIG.mask and CONFIG.control("nothing") is None


def test_smart_tools_are_the_ones_that_work() -> None:
    """In 1.23.2 a smart brush sends nothing, so it must not stand among the smart tools."""
    tags = re.findall(r'<(\w+Labels)[^>]*smart="(\w+)"', CONFIG_XML)
    assert dict(tags) == {"BrushLabels": "false", "KeyPointLabels": "true", "RectangleLabels": "true"}


def test_one_colour_per_object_in_all_tools() -> None:
    pairs = set(re.findall(r'<Label value="([^"]+)" background="([^"]+)"', CONFIG_XML))
    assert len(pairs) == len({value for value, _ in pairs}) == 3


def test_aliases_are_what_results_hold() -> None:
    xml = CONFIG_XML.replace('<Label value="object 1"', '<Label value="The dog" alias="dog"')
    assert LabelConfig.parse(xml).objects == ("dog", "object 2")


def drop(tag: str) -> str:
    return re.sub(rf"<{tag} .*?</{tag}>", "", CONFIG_XML, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        (drop("BrushLabels"), "lacks BrushLabels"),
        (drop("KeyPointLabels"), "lacks KeyPointLabels"),
        (drop("RectangleLabels"), "lacks RectangleLabels"),
        (CONFIG_XML.replace("valueList", "value"), "valueList"),
        (CONFIG_XML.replace(PROPAGATE, "Go"), 'lacks <Label value="Propagate"/>'),
    ],
)
def test_what_propagation_needs(xml: str, says: str) -> None:
    config = LabelConfig.parse(xml)
    with pytest.raises(BadLabelConfig, match=re.escape(says)):
        refuse_unusable(config)


BRUSH = '<BrushLabels name="m" toName="v"><Label value="a"/></BrushLabels>'


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        (None, "empty"),
        ("", "empty"),
        ("  \n", "empty"),
        ("<View>", "not well-formed"),
        ("hello", "not well-formed"),
        ("<View/>", "0 Image tags"),
        (f'<View><Video name="v" value="$v"/>{BRUSH}</View>', "no mask can be drawn on a Video"),
        (f'<View><Image name="w" value="$v"/>{BRUSH}</View>', "toName"),
        (f'<View><Image name="v" value="v"/>{BRUSH}</View>', "variable"),
        (f'<View><Image name="v" value="$v"/>{BRUSH}{BRUSH}</View>', "non-unique names"),
        ('<View><Image name="a" value="$a"/><Image name="b" value="$b"/></View>', "2 Image tags"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><View/>', "DOCTYPE"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><View/>', "DOCTYPE"),
        ("<View>" * (MAX_XML_DEPTH + 1) + "</View>" * (MAX_XML_DEPTH + 1), "64 levels"),
        ("<View>" * 150_000, "64 levels"),
        (f"<View>{' ' * MAX_XML_BYTES}</View>", "bytes"),
    ],
)
def test_what_cannot_be_read(xml: Any, says: str) -> None:
    with pytest.raises(BadLabelConfig, match=says):
        LabelConfig.parse(xml)


@pytest.mark.parametrize("data", [{}, {"frames": []}, {"frames": "x"}, {"frames": [1]}, {"image": ["a"]}])
def test_tasks_without_frames_are_refused(data: dict[str, Any]) -> None:
    with pytest.raises(BadLabelConfig, match="'frames'"):
        CONFIG.frame_refs(data)


def test_frames_of_a_task() -> None:
    assert CONFIG.frame_refs({"frames": ["/a", "/b"], "clip": "c"}) == ("/a", "/b")
    single = LabelConfig.parse(CONFIG_XML.replace("valueList", "value"))
    assert single.frame_refs({"frames": "/a"}) == ("/a",)
