"""What a predict request asks for."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.core.errors import BadInput
from backends.core.types import BoxPrompt, PointPrompt
from backends.labelstudio.context import (
    Batch,
    Clicks,
    Empty,
    Interactive,
    Propagate,
    parse_predict,
    parse_project,
)
from tests.unit.labelstudio.shapes import CONFIG_XML, click, drag, region, request


def interactive(*gestures: dict[str, Any], **changes: Any) -> Interactive:
    parsed = parse_predict(request({"result": list(gestures)}, **changes))
    assert isinstance(parsed, Interactive)
    return parsed


def test_context_null_is_a_batch_of_all_tasks_in_order() -> None:
    one = request(None)["tasks"][0]
    parsed = parse_predict(request(None, tasks=[{**one, "id": 9}, {**one, "id": 4}]))
    assert isinstance(parsed, Batch)
    assert ([t.id for t in parsed.tasks], parsed.project_id) == ([9, 4], 16)
    assert parsed.label_config_xml == CONFIG_XML


@pytest.mark.parametrize("context", [{"result": []}, {}, {"result": None}])
def test_the_empty_context_after_submit_asks_nothing(context: dict[str, Any]) -> None:
    assert parse_predict(request(context)) == Empty(16)


def test_a_click_in_pixels() -> None:
    asked = interactive(click(x=50, y=25))
    assert asked.clicks == Clicks("object 1", 3, (PointPrompt("object 1", 3, 160, 60, True),), ())
    assert (asked.trigger_id, asked.size_hw, asked.task.id) == ("click-1", (240, 320), 7)


def test_clicks_of_one_label_on_one_frame_belong_together() -> None:
    asked = interactive(
        click(id="1"),
        click(id="2", is_positive=False, x=10),
        click("object 2", id="3"),
        click(id="4", item_index=1),
        drag(),
        click(id="5", x=75),
    )
    assert isinstance(asked.clicks, Clicks)
    assert [(p.x_px, p.positive) for p in asked.clicks.points] == [(160, True), (32, False), (240, True)]
    assert asked.clicks.boxes == (BoxPrompt("object 1", 3, 32, 48, 128, 144),)
    assert asked.trigger_id == "5"


@pytest.mark.parametrize(
    ("box", "corners"),
    [
        ({}, (32, 48, 128, 144)),
        ({"x": -5, "width": 50}, (0, 48, 144, 144)),
        ({"x": 90, "width": 50}, (288, 48, 320, 144)),
        ({"x": 40, "width": -30}, (32, 48, 128, 144)),
    ],
)
def test_a_box_stays_inside_the_frame(box: dict[str, float], corners: tuple[float, ...]) -> None:
    clicks = interactive(drag(**box)).clicks
    assert isinstance(clicks, Clicks)
    assert clicks.boxes == (BoxPrompt("object 1", 3, *corners),)


def test_the_label_propagate_is_the_command() -> None:
    asked = interactive(click(), click("Propagate", id="go", x=10, y=10, item_index=0))
    assert asked.clicks == Propagate(0, 32, 24)
    assert asked.trigger_id == "go"
    assert isinstance(interactive(click("Propagate"), click()).clicks, Clicks), "the last gesture counts"


def test_drafts_tell_the_user() -> None:
    body = request({"result": [click()]})
    assert interactive(click()).user == ""
    body["tasks"][0]["drafts"] = [{"id": 1, "user": "ann@x", "updated_at": "t", "result": [region()]}]
    parsed = parse_predict(body)
    assert isinstance(parsed, Interactive)
    assert parsed.user == "ann@x" and parsed.task.drafts[0].holds("r1")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tasks": None}, "tasks wants a list"),
        ({"tasks": []}, "exactly one task"),
        ({"tasks": [5]}, r"tasks\[0\] wants an object"),
        ({"tasks": [{"id": "7", "data": {}}]}, r"tasks\[0\]\.id"),
        ({"tasks": [{"id": 7, "data": None}]}, r"tasks\[0\]\.data"),
        ({"tasks": [{"id": 7, "data": {"image": "/x"}}]}, "no list of frames under 'frames'"),
        ({"project": "sixteen"}, "project wants a number"),
        ({"project": None}, "project wants a number"),
        ({"label_config": None}, "label_config"),
        ({"label_config": "<View>"}, "not well-formed"),
        ({"params": 5}, "params wants an object"),
    ],
)
def test_bad_requests_are_refused_by_field(change: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        parse_predict(request({"result": [click()]}, **change))


@pytest.mark.parametrize(
    ("gesture", "says"),
    [
        ("x", r"result\[0\] wants an object"),
        (region(), "no smart tool of this configuration"),
        (click(from_name="kp"), "no smart tool of this configuration"),
        (click("cat"), "'cat'.* is not one of 'object 1', 'object 2', 'Propagate'"),
        (click(item_index=5), "frames 0 to 4"),
        (click(item_index=-1), "item_index"),
        (click(item_index=None), "item_index"),
        (click(original_width=0), "original_width"),
        (click(x=float("nan")), "percentage"),
        (click(value={"keypointlabels": ["object 1"], "x": "1", "y": 1}), "percentage"),
        (click(value=None), "value wants an object"),
        (drag(width=0.01), "drag a larger one"),
        (drag(x=200), "drag a larger one"),
    ],
)
def test_bad_gestures_are_refused_by_field(gesture: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        parse_predict(request({"result": [gesture]}))


@pytest.mark.parametrize(("value", "expected"), [("16.1795331125", 16), ("16", 16), (16, 16)])
def test_project_ids(value: object, expected: int) -> None:
    assert parse_project(value) == expected


@pytest.mark.parametrize("value", [None, "", ".5", "-1", True, [], "1" * 13, "²"])
def test_what_is_no_project_id(value: object) -> None:
    with pytest.raises(BadInput, match="project wants a number"):
        parse_project(value)


FIELDS = sorted(
    {*request(None), *request(None)["tasks"][0], *click(), *click()["value"], "context", "result"}
)
odd = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just([]) | st.just({})
)


@given(st.sampled_from(FIELDS), odd, st.sampled_from(["click", "drag", "batch"]))
@settings(deadline=None, max_examples=300)
def test_one_odd_field_is_understood_or_refused(name: str, value: object, kind: str) -> None:
    context = {"click": {"result": [click()]}, "drag": {"result": [drag()]}, "batch": None}[kind]
    body = copy.deepcopy(request(context))

    def spoil(node: Any) -> None:
        if isinstance(node, dict):
            for child in node.values():
                spoil(child)
            if name in node:
                node[name] = value
        elif isinstance(node, list):
            for child in node:
                spoil(child)

    spoil(body)
    try:
        parsed = parse_predict(body)
    except BadInput:
        return
    assert isinstance(parsed, Batch | Interactive | Empty)
