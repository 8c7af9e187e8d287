"""Whole clips: the shipped configuration, its command, and a model's classes under a project's labels."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.clip_labels import ClipLabels
from backends.core.errors import BadInput, BadLabelConfig
from backends.core.types import FrameMasks
from backends.labelstudio.class_names import match_names
from backends.labelstudio.context import Interactive, LabelClip, parse_predict
from backends.labelstudio.label_config import LABEL_CLIP, LabelConfig, labels_clips, refuse_unlabellable
from backends.notices import Notices
from backends.queues import ClipRequest
from backends.settings import from_env
from backends.video_semantic.loaders.camvid import CLASSES
from pipelines.tag_project.clips import clip_plan, within_budget
from pipelines.tag_project.config_xml import video_semantic_xml
from tests.predict_requests import LABEL_CONFIG, SIZE_HW, click, interactive, task
from tests.tag_requests import TAG_XML, write_picture

SHIPPED = Path("labelstudio_config/video_semantic.xml").read_text()
CONFIG = LabelConfig.parse(SHIPPED)


def test_the_shipped_configuration_has_camvids_classes_in_every_tool() -> None:
    refuse_unlabellable(CONFIG)
    assert CONFIG.objects == CLASSES
    assert CONFIG.box and CONFIG.point and CONFIG.box.labels == CLASSES
    assert CONFIG.point.labels == (*CLASSES, LABEL_CLIP)
    assert match_names(CLASSES, CONFIG.class_names).words == ()
    assert labels_clips(SHIPPED) and not labels_clips(LABEL_CONFIG) and not labels_clips(TAG_XML)
    tags = dict(re.findall(r'<(\w+Labels)[^>]*smart="(\w+)"', SHIPPED))
    assert tags == {"BrushLabels": "false", "KeyPointLabels": "true", "RectangleLabels": "true"}


def test_other_classes_stand_in_every_tool_and_the_command_stays() -> None:
    config = LabelConfig.parse(video_semantic_xml(["lawn", "bee"]))
    refuse_unlabellable(config)
    assert config.point and config.box
    assert config.objects == config.box.labels == ("lawn", "bee")
    assert config.point.labels == ("lawn", "bee", LABEL_CLIP)
    with pytest.raises(BadInput, match="a command's name"):
        video_semantic_xml(["lawn", LABEL_CLIP])
    assert within_budget(from_env({}), clip_plan(["lawn", "bee"])).max_clip_frames == 50
    assert within_budget(from_env({}), clip_plan()).max_clip_frames == 13


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        (r"<RectangleLabels.*?</RectangleLabels>", "lacks RectangleLabels"),
        (r'<Label value="Label clip".*?/>', "Label clip"),
    ],
)
def test_what_lacks_a_part_is_refused_by_name(pattern: str, says: str) -> None:
    with pytest.raises(BadLabelConfig, match=says):
        refuse_unlabellable(LabelConfig.parse(re.sub(pattern, "", SHIPPED, flags=re.DOTALL)))


def test_predicted_values_are_honoured_and_what_stands_for_nothing_is_told() -> None:
    config = LabelConfig.parse(
        '<View><Image name="img" valueList="$frames"/><BrushLabels name="mask" toName="img">'
        '<Label value="Vehicle" predicted_values="car, bus ,lorry"/><Label value="Road"/><Label value="dog"/>'
        "</BrushLabels></View>"
    )
    names = match_names(("sky", "road", "car", "bus"), config.class_names)
    assert names.label_of == {"car": "Vehicle", "bus": "Vehicle", "road": "Road"}
    lorry, dog, sky = names.words
    assert "'Vehicle' names 'lorry'" in lorry and "'dog' is none of" in dog and "'sky'" in sky
    half, quarter = np.zeros((4, 8), bool), np.zeros((4, 8), bool)
    half[:, :4], quarter[:, 6:] = True, True
    frame = FrameMasks(3, {"car": half, "bus": quarter, "sky": ~half}, {"car": 0.9, "bus": 0.3, "sky": 1.0})
    found = names.relabelled(frame)
    assert found.frame_index == 3 and set(found.masks) == {"Vehicle"}
    assert np.array_equal(found.masks["Vehicle"], half | quarter)
    assert found.confidence["Vehicle"] == pytest.approx((16 * 0.9 + 8 * 0.3) / 24)


def test_names_that_cannot_work_are_refused() -> None:
    with pytest.raises(BadLabelConfig, match=r"'A' and 'B' both stand for the class 'car'"):
        match_names(("car",), {"A": ("car",), "B": ("car",)})
    with pytest.raises(BadLabelConfig, match="no label of this project"):
        match_names(("car",), {"dog": ()})


def house(tmp_path: Path, asked: list[ClipRequest]) -> ClipLabels:
    class Files:
        def path(self, reference: str) -> Path:
            return tmp_path / reference.rpartition("/")[2]

    def enqueue(request: ClipRequest) -> Any:
        asked.append(request)
        raise BadInput("the queue is not part of this")

    write_picture(tmp_path / "00000.png")
    notices = Notices(tmp_path / "ledger.sqlite")
    return ClipLabels(Files(), notices, lambda project: f"video_semantic-{project}", enqueue, 10**6, 150)  # type: ignore[arg-type]


def test_the_command_asks_for_the_whole_clip(tmp_path: Path) -> None:
    asked: list[ClipRequest] = []
    one = task(7, 3)
    ask = parse_predict(interactive(one, [click("go", LABEL_CLIP, 2, 30, 20)], label_config=SHIPPED))
    assert isinstance(ask, Interactive) and ask.clicks == LabelClip(2)
    with pytest.raises(BadInput, match="the queue"):
        house(tmp_path, asked).answer(ask)
    [request] = asked
    assert (request.task_id, len(request.frame_refs), request.size_hw) == (7, 3, SIZE_HW)
    assert request.model_version == "video_semantic-16", "what is served to this project"
    wanted = request.wanted()
    assert wanted.deliver and wanted.total == 3 and wanted.payload["labels"]["car"] == []
    assert wanted.payload["colours"]["car"] == "#e6194b"
    assert replace(request, colours={}).job_id() == request.job_id(), "colours are no part of the wish"


def test_a_clip_that_the_editor_would_not_cope_with_is_refused_before_any_work(tmp_path: Path) -> None:
    asked: list[ClipRequest] = []
    data = {"frames": ["/data/local-files/?d=c/00000.png"] * 151}
    with pytest.raises(BadInput, match="cut it into shorter ones"):
        house(tmp_path, asked).want(1, 7, data, CONFIG)
    assert asked == []
