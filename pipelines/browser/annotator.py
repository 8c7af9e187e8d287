"""What an annotator does in the editor, gesture by gesture, given masks to paint."""

from __future__ import annotations

import time
from dataclasses import dataclass

import cv2
import numpy as np

from backends.core.errors import BadInput
from backends.core.types import Mask
from backends.labelstudio.label_config import PROPAGATE, LabelConfig
from pipelines.browser import brush_strokes
from pipelines.browser.editor import Editor

MAX_PRESSES = 6


@dataclass(frozen=True)
class Propagated:
    """How a Propagate went, seen from the chair."""

    click_to_masks_s: float
    presses: int
    """More than one where the clip takes longer than one answer may: the next press brings the rest."""


def paint(editor: Editor, config: LabelConfig, object_id: str, mask: Mask) -> None:
    """Paint a mask on the frame that is shown: label, fitting brush, outline, rows."""
    if config.mask is None:
        raise BadInput("this labelling configuration has no brush")
    width_px = brush_strokes.fitting_width(mask, editor.brush_widths())
    editor.choose_label(config.mask, object_id)
    editor.set_brush(width_px)
    editor.paint(brush_strokes.fill(mask, width_px))
    editor.let_go()


def propagate(editor: Editor, config: LabelConfig, on: Mask, n_frames: int) -> Propagated:
    """Propagate with Ctrl+click in the middle of the painted mask ``on``, until each frame has a mask.

    The time runs from the first click to the drawn page, choosing the tool again for later presses included.
    """
    if config.point is None:
        raise BadInput("this labelling configuration has no smart point")
    editor.choose_smart(config.point, PROPAGATE)
    begun = time.monotonic()
    for presses in range(1, MAX_PRESSES + 1):
        editor.ctrl_click(*middle(on))
        if presses == MAX_PRESSES or not missing_frames(editor, n_frames):
            break
        editor.choose_smart(config.point, PROPAGATE)
    return Propagated(time.monotonic() - begun, presses)


def missing_frames(editor: Editor, n_frames: int) -> list[int]:
    """Frames without any mask in the editor."""
    masked = {region.frame for region in editor.regions() if region.kind == "brushregion"}
    return [index for index in range(n_frames) if index not in masked]


def middle(mask: Mask) -> tuple[float, float]:
    """(x, y) in pixels of the place farthest inside the mask."""
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(column) + 0.5, float(row) + 0.5
