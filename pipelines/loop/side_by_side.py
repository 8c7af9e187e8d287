"""Held-out frames as small pictures for the console: the frame, both versions' answers over it, the truth.

Drawn from the label maps that scoring left in a run's folder and from the frame in its snapshot; no network
runs. Pictures are drawn once and kept in the run's folder ``shown``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadInput, MaskLoopError
from backends.core.images import open_image, read_index_mask
from backends.core.palette import davis_palette
from pipelines.atomic import write_bytes
from pipelines.loop.examples import INDEX
from pipelines.loop.plan import Plan

SHOWN = "shown"
EXAMPLES_SHOWN = 6
"""Of a run: those in which the candidate lost the most and those in which it won the most."""
IGNORE = 255

_WIDTH_PX = 320
_QUALITY = 82
_COVER = 0.55  # how much of the colour stands over the frame
_VERSIONS = ("served", "candidate")

LabelMap = NDArray[np.uint8]


def examples_told(run: Path) -> list[dict[str, Any]]:
    """The examples of a run as JSON values with the names of their pictures in ``shown``.

    A row whose frame or label maps are gone or broken is left out: a snapshot may be removed by hand.
    """
    try:
        rows = json.loads((run / "examples" / INDEX).read_text(encoding="utf-8"))
        plan = Plan.read(run)
    except (OSError, ValueError, TypeError, KeyError, BadInput):
        return []
    found = []
    for row in rows if isinstance(rows, list) else []:
        try:
            found.append(_Example.read(run, plan, row))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, MaskLoopError):
            continue
    return [example.told() for example in _telling(found)]


@dataclass(frozen=True)
class _Example:
    run: Path
    clip: str
    frame: int
    frame_path: Path
    maps: Mapping[str, Path]
    """Who -> label map; of a version that was not served there is none."""
    scores: Mapping[str, float | None]
    is_scene: bool

    @classmethod
    def read(cls, run: Path, plan: Plan, row: Mapping[str, Any]) -> _Example:
        """Raises what reading a row and its files can raise."""
        names = {who: _plain_name(row[who]) for who in ("truth", *_VERSIONS) if row.get(who)}
        maps = {who: run / "examples" / name for who, name in names.items()}
        image = (plan.snapshot / str(row["image"])).resolve()
        if not image.is_relative_to(plan.snapshot.resolve()) or not image.is_file():
            raise BadInput(f"{image} is no frame of the run's snapshot")
        is_scene = plan.algorithm == "video_semantic"
        truth = read_index_mask(maps["truth"])
        scores = {
            who: mean_iou(truth, read_index_mask(maps[who]), is_scene) for who in _VERSIONS if who in maps
        }
        return cls(run, str(row["clip"]), int(row["frame"]), image, maps, scores, is_scene)

    @property
    def gain(self) -> float:
        """Of the candidate over the served version."""
        return (self.scores.get("candidate") or 0.0) - (self.scores.get("served") or 0.0)

    def told(self) -> dict[str, Any]:
        """With its pictures drawn, where they are not yet."""
        stem = f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', self.clip).strip('.-') or 'clip'}-{self.frame:05d}"
        pictures = {who: f"{stem}.{who}.jpg" for who in ("picture", *self.maps)}
        missing = [who for who, name in pictures.items() if not (self.run / SHOWN / name).is_file()]
        if missing:
            frame = _small(open_image(self.frame_path))
            for who in missing:
                drawn = frame if who == "picture" else self._over(frame, read_index_mask(self.maps[who]))
                write_bytes(self.run / SHOWN / pictures[who], _jpeg(drawn))
        return {"clip": self.clip, "frame": self.frame, "pictures": pictures, **self.scores}

    def _over(self, frame: NDArray[np.uint8], labels: LabelMap) -> NDArray[np.uint8]:
        height, width = frame.shape[:2]
        small = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
        number = small.astype(np.intp) + self.is_scene  # of scenes 0 is a class, elsewhere the background
        is_shown = (small != IGNORE) & (number > 0)
        mixed = (1 - _COVER) * frame + _COVER * davis_palette()[np.minimum(number, IGNORE)]
        return np.where(is_shown[..., None], mixed, frame).astype(np.uint8)


def mean_iou(truth: LabelMap, answer: LabelMap, is_scene: bool) -> float | None:
    """Over the labels of either map; pixels that nobody judged (255) count for nothing."""
    judged = truth != IGNORE
    labels = np.union1d(truth[judged], answer[judged])
    ious = []
    for label in labels[(labels != IGNORE) & (is_scene | (labels != 0))]:
        ours, theirs = (answer == label) & judged, (truth == label) & judged
        ious.append(np.logical_and(ours, theirs).sum() / np.logical_or(ours, theirs).sum())
    return round(float(np.mean(ious)), 3) if ious else None


def _telling(found: list[_Example]) -> list[_Example]:
    """The ends of the order by gain, as many as are shown, the greatest gain first."""
    ordered = sorted(found, key=lambda example: (-example.gain, example.clip))
    if len(ordered) <= EXAMPLES_SHOWN:
        return ordered
    half = EXAMPLES_SHOWN // 2
    return [*ordered[:half], *ordered[-half:]]


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = min(1.0, _WIDTH_PX / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return bytes(data)


def _plain_name(name: object) -> str:
    if not isinstance(name, str) or Path(name).name != name:
        raise BadInput(f"{name!r} is no file of the run's examples")
    return name
