"""YOLO segmentation: ``images/train``, ``labels/train`` with a line per object, ``data.yaml``.

A line is a class and one polygon, so parts of an object are joined and holes opened by cuts of a hundredth of
a pixel (``polygons``): valid polygons, and the same pixels once they are drawn, but for a line one pixel wide
between parts.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pipelines.export.formats.losses import Losses
from pipelines.export.formats.pictures import put_frame
from pipelines.export.formats.polygons import as_one, outline
from pipelines.export.formats.view import Thing, count_frames, stills
from pipelines.export.formats.voc import flat_name
from pipelines.export.project import ProjectWork
from pipelines.progress import Track, quiet

CANNOT_HOLD = (
    "yolo-seg holds one polygon per object: parts are joined and holes opened by cuts thinner than a pixel; "
    "no tracks, tags or scores"
)
_PARTS = "of several parts, joined by lines that may be drawn a pixel wide: {count} masks ({first} first)"
_HOLES = "with holes, opened by a cut thinner than a pixel: {count} masks ({first} first)"


def write(work: ProjectWork, out: Path, *, progress: Track = quiet) -> tuple[str, ...]:
    """Write the project; returns what could not be held."""
    losses = Losses()
    labels = out / "labels" / "train"
    labels.mkdir(parents=True)
    (out / "images" / "train").mkdir(parents=True)
    for frame in progress(stills(work, losses), total=count_frames(work), label="yolo-seg"):
        name = flat_name(frame)
        put_frame(frame, out / "images" / "train", name, losses)
        things = frame.regions if work.kind == "weak_shot" else frame.objects
        lines = [_line(thing, frame.clip.size_hw, str(frame), losses) for thing in things]
        (labels / f"{name}.txt").write_text("".join(lines))
    (out / "data.yaml").write_text(_data_yaml(work), encoding="utf-8")
    return (CANNOT_HOLD, *losses.sentences())


def _line(thing: Thing, size_hw: tuple[int, int], where: str, losses: Losses) -> str:
    """``class x y x y ...`` with coordinates as shares of width and height."""
    parts = outline(thing.mask)
    if len(parts) > 1:
        losses.add(_PARTS, f"{thing.label!r} on {where}")
    if any(part.interiors for part in parts):
        losses.add(_HOLES, f"{thing.label!r} on {where}")
    ring = np.asarray(as_one(parts).exterior.coords)[:-1]  # the first point is not said twice
    shares = ring / np.array([size_hw[1], size_hw[0]])
    return f"{thing.number - 1} {' '.join(f'{share:.8f}' for share in shares.ravel())}\n"


def _data_yaml(work: ProjectWork) -> str:
    """JSON strings are YAML strings, whatever is in a name."""
    names = "".join(
        f"  {number}: {json.dumps(label, ensure_ascii=False)}\n" for number, label in enumerate(work.labels)
    )
    return f"train: images/train\nval: images/train\nnames:\n{names}"
