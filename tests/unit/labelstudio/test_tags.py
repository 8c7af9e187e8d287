"""Tags in results, in task data and in predictions; configurations that tags can work with."""

from __future__ import annotations

import re
from typing import Any

import pytest
from label_studio_sdk.label_interface.interface import LabelInterface

from backends.core.errors import BadInput, BadLabelConfig
from backends.labelstudio.context import Clicks, Interactive, MakeMasks, parse_predict
from backends.labelstudio.label_config import MAKE_MASKS, LabelConfig, makes_masks, refuse_untaggable
from backends.labelstudio.tags import Tags, read_tags, tags_in_data, tags_result
from pipelines.tag_project.config_xml import shipped_xml, weak_shot_xml
from tests.predict_requests import LABEL_CONFIG, click
from tests.tag_requests import (
    CLASSES,
    SIZE_HW,
    TAG_CONFIG,
    TAG_XML,
    boxed,
    choices,
    interactive,
    make_masks,
    picture_task,
)

SHIPPED = shipped_xml()


def test_the_shipped_configuration_works_with_tags() -> None:
    config = LabelConfig.parse(SHIPPED)
    refuse_untaggable(config)
    assert (config.image, config.data_key, config.is_multi_image) == ("img", "image", False)
    assert config.tags and config.mask and config.box and config.point
    assert config.tags.labels == config.box.labels == config.objects == ("class 1", "class 2")
    assert config.point.labels == (MAKE_MASKS,)


def test_a_clip_configuration_does_not() -> None:
    assert makes_masks(SHIPPED) and not makes_masks(LABEL_CONFIG) and not makes_masks("<View")


def test_smart_tools_are_the_ones_that_work() -> None:
    """In 1.23.2 a smart brush and smart choices send nothing."""
    tags = dict(re.findall(r'<(\w+Labels)[^>]*smart="(\w+)"', SHIPPED))
    assert tags == {"BrushLabels": "false", "KeyPointLabels": "true", "RectangleLabels": "true"}
    assert 'choice="multiple"' in SHIPPED


def drop(tag: str) -> str:
    return re.sub(rf"<{tag} .*?</{tag}>", "", SHIPPED, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        (drop("Choices"), "lacks Choices"),
        (drop("BrushLabels"), "lacks BrushLabels"),
        (drop("KeyPointLabels"), "lacks KeyPointLabels"),
        (drop("RectangleLabels"), "lacks RectangleLabels"),
        (SHIPPED.replace('value="$image"', 'valueList="$image"'), "several pages"),
        (SHIPPED.replace(MAKE_MASKS, "Go"), 'lacks <Label value="Make masks"/>'),
        (SHIPPED.replace('<Choice value="class', '<Choice value="kind'), "no Choice of 'tags' is a label"),
    ],
)
def test_what_tags_need(xml: str, says: str) -> None:
    with pytest.raises(BadLabelConfig, match=re.escape(says)):
        refuse_untaggable(LabelConfig.parse(xml))


@pytest.mark.parametrize(
    ("result", "names", "unknown"),
    [
        ([], (), ()),
        ([choices("sheep", "dog")], ("dog", "sheep"), ()),
        ([choices("dog"), choices("dog", "cow")], ("dog",), ("cow",)),
        ([choices("dog", from_name="weather")], (), ()),
        ([{**choices("dog"), "type": "taxonomy"}], (), ()),
        ([{**choices(), "value": {"choices": "dog"}}, {**choices(), "value": None}, "x", None], (), ()),
        (None, (), ()),
    ],
)
def test_reading_tags(result: Any, names: tuple[str, ...], unknown: tuple[str, ...]) -> None:
    assert read_tags(result, TAG_CONFIG) == Tags(names, unknown)


@pytest.mark.parametrize(
    ("data", "tags"),
    [
        ({}, Tags(())),
        ({"tags": ["cat", "cow"]}, Tags(("cat",), ("cow",))),
        ({"tags": "cat"}, Tags(())),
    ],
)
def test_tags_that_came_with_the_task(data: dict[str, Any], tags: Tags) -> None:
    assert tags_in_data(data, TAG_CONFIG) == tags


def test_tags_go_back_as_label_studio_wants_them() -> None:
    [result] = tags_result(("dog", "cow"), TAG_CONFIG, SIZE_HW)
    assert read_tags([result], TAG_CONFIG) == Tags(("dog",))
    told = {"result": [result], "model_version": "v", "score": 0.5}
    assert LabelInterface(TAG_XML).validate_prediction(told, return_errors=True) == []
    assert tags_result((), TAG_CONFIG, SIZE_HW) == []


def wish(gesture: dict[str, Any], xml: str = TAG_XML) -> Any:
    ask = parse_predict({**interactive(picture_task(1), [gesture]), "label_config": xml})
    assert isinstance(ask, Interactive)
    return ask.clicks


def test_gestures() -> None:
    assert wish(make_masks()) == MakeMasks(0)
    [box] = wish(boxed("cat", corners=(32, 12, 48, 24))).boxes
    assert (box.object_id, box.x0_px, box.y0_px, box.x1_px, box.y1_px) == ("cat", 32, 12, 48, 24)


def test_a_point_with_a_class_is_an_ordinary_click() -> None:
    xml = TAG_XML.replace('<Label value="Make masks"', '<Label value="dog"/><Label value="Make masks"')
    clicks = wish({**click("c", "dog", 0, 5, 5)}, xml)
    assert isinstance(clicks, Clicks) and clicks.object_id == "dog"


def test_ones_own_classes_in_the_configuration() -> None:
    config = LabelConfig.parse(weak_shot_xml([" dog", 'the "big" one', "Hütte & <co>"]))
    assert config.objects == ("dog", 'the "big" one', "Hütte & <co>")
    assert config.tags and config.box and config.tags.labels == config.box.labels == config.objects
    colours = re.findall(r'background="(#[0-9a-f]{6})"', weak_shot_xml([f"c{i}" for i in range(30)]))
    assert len(set(colours)) == 31, "one for each class in both tools, and the command's"


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        ([], "wants a name"),
        (["dog", " "], "wants a name"),
        (["dog", "dog "], "named twice"),
        (["Make masks"], "a command's name"),
        ([f"c{i}" for i in range(255)], "at most 254"),
    ],
)
def test_classes_that_cannot_be_used(classes: list[str], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        weak_shot_xml(classes)


def test_the_builders_hold_three_classes() -> None:
    assert TAG_CONFIG.objects == CLASSES
