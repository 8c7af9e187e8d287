"""The SDK agrees with what we read and write; and it still misses what we check ourselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_studio_sdk.label_interface.interface import LabelInterface

from backends.core.types import FrameMasks
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.regions import check_result, to_results

XML = (Path(__file__).resolve().parents[2] / "labelstudio_config" / "video_object.xml").read_text()
CONFIG = LabelConfig.parse(XML)
SDK = LabelInterface(XML)
SIZE_HW = (20, 30)


def results() -> list[dict[str, Any]]:
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[5:10, 5:20] = True
    return to_results(FrameMasks(1, {"object 1": mask}, {"object 1": 0.5}), CONFIG, SIZE_HW)


def sdk_errors(result: list[dict[str, Any]]) -> list[str]:
    errors: list[str] = SDK.validate_prediction(
        {"result": result, "model_version": "v", "score": 0.5}, return_errors=True
    )
    return errors


def test_the_sdk_takes_our_results() -> None:
    assert sdk_errors(results()) == []


@pytest.mark.parametrize(
    "change", [{"from_name": "no"}, {"value": {"format": "rle", "rle": [1], "brushlabels": ["cat"]}}]
)
def test_what_the_sdk_refuses_we_refuse(change: dict[str, Any]) -> None:
    spoilt = [{**results()[0], **change}]
    assert sdk_errors(spoilt)
    assert check_result(spoilt, CONFIG, 5, SIZE_HW)


@pytest.mark.parametrize(
    "change",
    [
        {"item_index": 99},
        {"original_width": None},
        {"value": {"format": "rle", "rle": [1, 2, 3], "brushlabels": ["object 1"]}},
    ],
)
def test_what_the_sdk_misses_we_refuse(change: dict[str, Any]) -> None:
    """The reason for checks of our own; when the first line fails, the SDK has learnt one of them."""
    spoilt = [{**results()[0], **change}]
    assert sdk_errors(spoilt) == []
    assert check_result(spoilt, CONFIG, 5, SIZE_HW)


def test_the_sdk_takes_a_brush_on_a_video() -> None:
    """The editor refuses it; so do we, without the SDK's help."""
    video = XML.replace("<Image ", "<Video ").replace("valueList", "value")
    LabelInterface(video).validate()
