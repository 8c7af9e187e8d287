"""Runs methods over generated look-alikes and measures whom their masks follow.

Two conditions: ``all`` gives every sprite's first mask, ``one`` only object 1's, the others being mere
distractors. The measures are those of :mod:`pipelines.studies.id_switches`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.core.types import FrameMasks, Mask, MaskPrompt, Segmenter
from pipelines.progress import Track as Progress
from pipelines.progress import quiet
from pipelines.studies.contact_sheet import Row, outlined
from pipelines.studies.crossing import DrawnScene, Scene, draw_scene
from pipelines.studies.id_switches import Track, rates, track

CONDITIONS = ("all", "one")
SHEET_CLIPS = 4  # each way of meeting once, and three sprites once
SHEET_FRAMES = 6


@dataclass(frozen=True)
class Outcome:
    """One clip under one condition: a track per given object."""

    scene: Scene
    tracks: Mapping[int, Track]


def measure(
    variants: Mapping[str, Segmenter], scenes: Iterable[Scene], *, progress: Progress = quiet
) -> tuple[dict[str, Any], list[Row]]:
    """The report (variant -> condition -> rates, kinds, clips) and the rows of a contact sheet.

    Rates are percentages as in ``id_switches.rates``. Every variant sees the same clips.
    """
    outcomes: dict[tuple[str, str], list[Outcome]] = {}
    sheet: list[Row] = []
    for number, scene in enumerate(scenes):
        drawn = draw_scene(scene)
        if number < SHEET_CLIPS:
            sheet.append(_row(drawn, f"{scene.name}: truth", drawn.masks))
        for name, segmenter in variants.items():
            for condition in CONDITIONS:
                label = f"{scene.name} {name} {condition}"
                frames = _segment(segmenter, drawn, condition, label, progress)
                outcomes.setdefault((name, condition), []).append(_outcome(drawn, condition, frames))
                if number < SHEET_CLIPS:
                    sheet.append(_row(drawn, f"{scene.name}: {name}, {condition} given", frames.__getitem__))
    return _report(variants, outcomes), sheet


def _segment(
    segmenter: Segmenter, drawn: DrawnScene, condition: str, label: str, progress: Progress
) -> list[dict[int, Mask]]:
    """Every frame's masks by object, in order; what the segmenter does not give is empty."""
    first = drawn.masks(0)
    given = list(first) if condition == "all" else [1]
    prompts = [MaskPrompt(str(number), 0, first[number]) for number in given]
    found: dict[int, FrameMasks] = {}
    for masks in progress(segmenter.segment(drawn.clip, prompts), total=len(drawn.clip), label=label):
        found[masks.frame_index] = masks
    empty: Mask = np.zeros(drawn.clip.size_hw, np.bool_)
    return [
        {number: _mask(found.get(index), number, empty) for number in given}
        for index in range(len(drawn.clip))
    ]


def _mask(masks: FrameMasks | None, number: int, empty: Mask) -> Mask:
    return empty if masks is None else masks.masks.get(str(number), empty)


def _outcome(drawn: DrawnScene, condition: str, frames: Sequence[Mapping[int, Mask]]) -> Outcome:
    truths = [drawn.masks(index) for index in range(1, len(drawn.clip))]
    return Outcome(
        drawn.scene, {number: track([f[number] for f in frames[1:]], truths, number) for number in frames[0]}
    )


def _row(drawn: DrawnScene, caption: str, masks_of: Any) -> Row:
    """Six frames spread over the clip; ``masks_of(index)`` gives each object's mask by number."""
    chosen = np.linspace(0, len(drawn.clip) - 1, SHEET_FRAMES).round().astype(int)
    pictures = [
        outlined(drawn.clip.frames[index], list(masks_of(index).values())) for index in chosen.tolist()
    ]
    return Row(caption, tuple(pictures))


def _report(
    variants: Mapping[str, Segmenter], outcomes: Mapping[tuple[str, str], Sequence[Outcome]]
) -> dict[str, Any]:
    return {
        name: {
            "version": segmenter.version,
            **{condition: _condition(outcomes[name, condition]) for condition in CONDITIONS},
        }
        for name, segmenter in variants.items()
    }


def _condition(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    kinds = sorted({outcome.scene.kind for outcome in outcomes})
    return {
        **rates(list(o.tracks.values()) for o in outcomes),
        "kinds": {
            kind: rates(list(o.tracks.values()) for o in outcomes if o.scene.kind == kind) for kind in kinds
        },
        "per_clip": {o.scene.name: rates([list(o.tracks.values())]) for o in outcomes},
    }
