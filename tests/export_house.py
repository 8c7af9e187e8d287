"""Builders of a project's work with pictures on disk: what the formats write, without a Label Studio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from backends.core.types import Mask
from backends.labelstudio.label_config import LabelConfig
from pipelines.export.annotations import read_work
from pipelines.export.project import Kind, LabelledClip, ProjectWork
from tests.project_house import annotation, block, painted, task, ticked

LABELS = ("object 1", "Hündin", "dog: red #2")
SIZE_HW = (24, 33)  # odd: nothing may be rounded to even sides

DISC = (np.hypot(*np.indices(SIZE_HW) - np.array([[[12]], [[16]]])) < 9).astype(np.bool_)
RING = DISC & ~block(10, 14, 14, 18, SIZE_HW)
"""With a hole of 4x4 pixels."""
LEFT, RIGHT = block(2, 20, 1, 9, SIZE_HW), block(4, 22, 20, 32, SIZE_HW)
PARTS = LEFT | block(2, 6, 25, 31, SIZE_HW)

Painted = tuple[str | Sequence[str], int, Mask]
"""Label or labels, frame, mask."""


def clip_xml(labels: Sequence[str] = LABELS) -> str:
    """A configuration for clips of objects."""
    items = "".join(f'<Label value="{label}"/>' for label in labels)
    return (
        f'<View><Image name="img" valueList="$frames"/><BrushLabels name="mask" toName="img">{items}'
        f'</BrushLabels><KeyPointLabels name="point" toName="img">{items}<Label value="Propagate"/>'
        f'</KeyPointLabels><RectangleLabels name="box" toName="img">{items}</RectangleLabels></View>'
    )


def photo_xml(labels: Sequence[str] = LABELS) -> str:
    """A configuration for single pictures with tags."""
    items = "".join(f'<Label value="{label}"/>' for label in labels)
    choices = "".join(f'<Choice value="{label}"/>' for label in labels)
    return (
        '<View><Image name="img" value="$image"/><Choices name="tags" toName="img" choice="multiple">'
        f'{choices}</Choices><BrushLabels name="mask" toName="img">{items}</BrushLabels></View>'
    )


def results(masks: Sequence[Painted], *, is_clip: bool = True) -> list[dict[str, Any]]:
    """Brush regions as the editor saves them."""
    found = []
    for number, (label, frame, mask) in enumerate(masks):
        names = [label] if isinstance(label, str) else list(label)
        region = painted(names[0], mask, f"r{number}", **({"item_index": frame} if is_clip else {}))
        region["value"]["brushlabels"] = names
        found.append(region)
    return found


def pictures(folder: Path, names: Sequence[str], size_hw: tuple[int, int] = SIZE_HW) -> tuple[Path, ...]:
    """One picture per name (with suffix), each of its own noise."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        rng = np.random.default_rng([number, len(str(folder))])
        Image.fromarray(rng.integers(0, 256, (*size_hw, 3), np.uint8)).save(folder / name, quality=95)
    return tuple(folder / name for name in names)


def clip(
    home: Path,
    masks: Sequence[Painted],
    *,
    name: str = "bus-1a2b3c4d5e-000",
    number: int = 7,
    files: Sequence[str] = ("00000.jpg", "00001.jpg", "00002.jpg"),
    xml: str = "",
    data: Mapping[str, Any] | None = None,
) -> LabelledClip:
    """A clip whose one annotation holds ``masks``."""
    frames = pictures(home / name, files)
    config = LabelConfig.parse(xml or clip_xml())
    saved = task(annotation(1, results(masks)), number=number)
    work = read_work(saved, config, SIZE_HW, n_frames=len(frames))
    told = {"frames": [f"/data/local-files/?d=clips/{name}/{file}" for file in files], "clip": name}
    stems = tuple(path.stem for path in frames)
    return LabelledClip(name, name[:-4], frames, stems, SIZE_HW, work, {**told, **(data or {})})


def photo(home: Path, masks: Sequence[Painted], tags: Sequence[str] = (), *, number: int = 1) -> LabelledClip:
    """A photo with tags and masks."""
    name = f"task-{number:06d}"
    frames = pictures(home / "photos", [f"photo-{number}.png"])
    config = LabelConfig.parse(photo_xml())
    saved = task(
        annotation(1, [*results(masks, is_clip=False), *([ticked(*tags)] if tags else [])]), number=number
    )
    work = read_work(saved, config, SIZE_HW)
    data = {"image": f"/data/local-files/?d=photos/photo-{number}.png"}
    return LabelledClip(name, name, frames, (frames[0].stem,), SIZE_HW, work, data)


def project(
    *clips: LabelledClip,
    kind: Kind = "video_object",
    labels: Sequence[str] = LABELS,
    title: str = "Straßenszenen",
) -> ProjectWork:
    """What was read of project 3."""
    xml = photo_xml(labels) if kind == "weak_shot" else clip_xml(labels)
    return ProjectWork(3, "Straßenszenen", kind, tuple(labels), clips, (), tasks=len(clips), label_config=xml)
