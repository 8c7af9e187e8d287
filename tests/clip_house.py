"""Builders of annotated clips: configurations, regions on frames, pictures, a Label Studio in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from backends.core.errors import BadMedia
from backends.core.types import Mask
from backends.labelstudio.connection import NotThere
from backends.labelstudio.label_config import LabelConfig
from pipelines.export.project import LabelledClip, ProjectWork, read_project_work
from tests.project_house import SIZE_HW, painted

OBJECTS, CLASSES = ("object 1", "object 2"), ("road", "car", "sky")


def clip_xml(labels: Sequence[str] = OBJECTS, command: str = "Propagate") -> str:
    """The shipped configurations in their essentials; the command says what the project is for."""
    items = "".join(f'<Label value="{name}"/>' for name in labels)
    return (
        '<View><Image name="img" valueList="$frames"/>'
        f'<BrushLabels name="mask" toName="img" smart="false">{items}</BrushLabels>'
        f'<KeyPointLabels name="point" toName="img">{items}<Label value="{command}"/></KeyPointLabels>'
        f'<RectangleLabels name="box" toName="img">{items}</RectangleLabels></View>'
    )


def scene_xml(classes: Sequence[str] = CLASSES) -> str:
    """A configuration of whole scenes."""
    return clip_xml(classes, "Label clip")


OBJECT_CONFIG = LabelConfig.parse(clip_xml())


def on(frame: int, label: str, mask: Mask, region_id: str = "", **changes: Any) -> dict[str, Any]:
    """A brush region on a frame."""
    return painted(label, mask, region_id or f"hand-{label}-{frame}", item_index=frame, **changes)


def write_frames(
    folder: Path, count: int, size_hw: tuple[int, int] = SIZE_HW, kind: str = "jpg"
) -> list[Path]:
    """Frames of seeded noise, each folder's its own."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(folder.name.encode()))
    for index in range(count):
        Image.fromarray(rng.integers(0, 256, (*size_hw, 3), np.uint8)).save(folder / f"{index:05d}.{kind}")
    return sorted(folder.iterdir())


@dataclass
class MemoryStudio:
    """Projects and tasks as Label Studio's API gives them; frames are files below ``media``."""

    media: Path
    xml: str = field(default_factory=clip_xml)
    held: dict[int, dict[str, Any]] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    """Tasks that are gone once somebody asks for them."""

    def add(
        self,
        clip: str,
        *annotations: Mapping[str, Any],
        frames: int = 3,
        predictions: Sequence[Mapping[str, Any]] = (),
        **data: Any,
    ) -> int:
        """A task with a clip of so many frames; its number."""
        paths = write_frames(self.media / clip, frames)
        number = len(self.held) + 1
        self.held[number] = {
            "id": number,
            "data": {"clip": clip, "frames": [f"{clip}/{path.name}" for path in paths], **data},
            "annotations": list(annotations),
            "predictions": list(predictions),
        }
        return number

    def project(self, project_id: int) -> dict[str, Any]:
        return {"id": project_id, "title": "clips", "label_config": self.xml}

    def tasks(self, project_id: int) -> Iterator[dict[str, Any]]:
        for task in self.held.values():
            cancelled = sum(bool(a["was_cancelled"]) for a in task["annotations"])
            counts = {
                "total_annotations": len(task["annotations"]) - cancelled,
                "cancelled_annotations": cancelled,
            }
            yield {"id": task["id"], "data": task["data"], **counts}

    def task(self, task_id: int) -> dict[str, Any]:
        if task_id in self.deleted:
            raise NotThere(f"no task {task_id}")
        return self.held[task_id]

    def path(self, reference: str) -> Path:
        path = self.media / reference
        if not path.is_file():
            raise BadMedia(f"{reference!r}: the file is gone from the media folder")
        return path

    def read(self, **how: Any) -> ProjectWork:
        return read_project_work(self, 3, self, **how)  # type: ignore[arg-type]

    def clip(self, **how: Any) -> LabelledClip:
        """The only one."""
        [clip] = self.read(**how).clips
        return clip
