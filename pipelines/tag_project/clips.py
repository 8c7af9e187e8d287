"""Clips for whole scenes: so short that frames times classes stay within what the editor is quick with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backends.labelstudio.label_config import LabelConfig, refuse_unlabellable, refuse_unusable
from backends.settings import Settings
from pipelines.ingest import CLIPS
from pipelines.tag_project.config_xml import video_object_xml, video_semantic_xml
from pipelines.tag_project.make import Plan

REGIONS = 150
"""Masks per task that the editor is quick with."""
SHORTEST = 2  # each clip begins with the last frame of the one before

_INSTRUCTION = (
    "Open a clip when it has a prediction: every page shows a mask per class. Flip pages with Ctrl+Right, "
    "correct with the brush what is wrong, Submit. Without a prediction: choose the label Label clip, press "
    "M, Ctrl+click, and open the task again once the console says it is done."
)

_OBJECTS = (
    "Flip pages with Ctrl+Right. Correct a mask with the brush, choose the label Propagate, press M, "
    "Ctrl+click on what you painted: it is carried to the other pages. Submit or Update."
)


def clip_plan(classes: Sequence[str] = ()) -> Plan:
    """A project for whole scenes; no classes: CamVid's. Raises BadInput for classes that cannot be used."""
    xml = video_semantic_xml(classes)
    return Plan(xml, CLIPS, "clip", _INSTRUCTION, "A class for every pixel of a video", refuse_unlabellable)


def object_plan(objects: Sequence[str]) -> Plan:
    """A project for objects that are followed. Raises BadInput for labels that cannot be used."""
    xml = video_object_xml(objects)
    return Plan(xml, CLIPS, "clip", _OBJECTS, "Per-frame object masks on video clips", refuse_unusable)


def within_budget(settings: Settings, plan: Plan) -> Settings:
    """The settings with clips of at most REGIONS masks, were every class on every frame."""
    n_classes = len(LabelConfig.parse(plan.xml).objects)
    return replace(
        settings, max_clip_frames=max(SHORTEST, min(settings.max_clip_frames, REGIONS // n_classes))
    )
