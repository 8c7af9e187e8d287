"""What Label Studio asks for: the body of ``POST /predict`` as one of three values.

- ``params.context`` is null: **Batch**, "Retrieve predictions" or the first opening of tasks;
- it holds results: **Interactive**, a smart click or box; a click with the label "Propagate" or "Make masks"
  is a command, and where tags become masks a box says where its class is;
- it holds an empty list: **Empty**. The editor sends that after Submit, when the smart region goes away.
  Whatever is answered would be put into the annotation, so the answer is nothing.

Coordinates leave here in pixels of the frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backends.core.errors import BadInput
from backends.core.types import BoxPrompt, PointPrompt
from backends.labelstudio.drafts import Draft, drafts_of
from backends.labelstudio.label_config import LABEL_CLIP, MAKE_MASKS, PROPAGATE, LabelConfig

_MAX_CLICKS = 1000  # of one request; the editor keeps every click of a label until it is accepted


@dataclass(frozen=True)
class Task:
    """One task as Label Studio sends it."""

    id: int
    data: Mapping[str, Any]
    annotations: tuple[dict[str, Any], ...] = ()
    predictions: tuple[dict[str, Any], ...] = ()
    drafts: tuple[Draft, ...] = ()
    """Drafts of the asking user only, and only in interactive requests."""


@dataclass(frozen=True)
class Propagate:
    """The command: carry every mask a person drew to the other frames. The point says where it was given."""

    frame_index: int
    x_px: float
    y_px: float


@dataclass(frozen=True)
class MakeMasks:
    """The command: a mask for every ticked tag. With ``boxes`` only for their classes, inside them."""

    frame_index: int
    boxes: tuple[BoxPrompt, ...] = ()


@dataclass(frozen=True)
class Clicks:
    """Clicks and boxes that mean one object on one frame, oldest first."""

    object_id: str
    frame_index: int
    points: tuple[PointPrompt, ...]
    boxes: tuple[BoxPrompt, ...]


@dataclass(frozen=True)
class LabelClip:
    """The command: label the whole clip. ``frame_index`` is the page it was given on."""

    frame_index: int


@dataclass(frozen=True)
class Batch:
    """Predictions wanted for whole tasks; one answer per task, in this order."""

    tasks: tuple[Task, ...]
    project_id: int
    label_config_xml: str


@dataclass(frozen=True)
class Interactive:
    """One gesture of one annotator in one task."""

    task: Task
    project_id: int
    label_config_xml: str
    label_config: LabelConfig
    clicks: Propagate | MakeMasks | LabelClip | Clicks
    trigger_id: str
    """The region id of the click or box that triggered the request; the fresh draft holds it too."""
    size_hw: tuple[int, int]
    """Size of the frame as the editor measured it."""

    @property
    def user(self) -> str:
        """The asking user where a draft tells it, else empty: Label Studio says so nowhere else."""
        return self.task.drafts[0].user if self.task.drafts else ""


@dataclass(frozen=True)
class Empty:
    """Nothing is asked; answer with an empty result."""

    project_id: int


def parse_predict(payload: object) -> Batch | Interactive | Empty:
    """Read the body of a ``/predict`` request.

    Raises BadInput (BadLabelConfig for the configuration) with the field, what came and what would work.
    Unknown fields are ignored.
    """
    body = _mapping(payload, "the request")
    tasks = tuple(_task(item, number) for number, item in enumerate(_list(body.get("tasks"), "tasks")))
    project_id = parse_project(body.get("project"))
    xml = body.get("label_config")
    if not isinstance(xml, str):
        raise BadInput(f"label_config wants the configuration's XML, got {type(xml).__name__}")
    context = _mapping(body.get("params") or {}, "params").get("context")
    if context is None:
        return Batch(tasks, project_id, xml)
    gestures = _list(_mapping(context, "params.context").get("result") or [], "params.context.result")
    if not gestures:
        return Empty(project_id)
    if len(tasks) != 1:
        raise BadInput(f"an interactive request wants exactly one task, got {len(tasks)}")
    return _interactive(tasks[0], project_id, xml, gestures)


def parse_project(value: object) -> int:
    """``"16.1795331125"`` (id and creation time), ``"16"`` or ``16`` -> 16. Raises BadInput."""
    text = str(value if value is not None else "").split(".")[0]
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or len(text) > 12:
        raise BadInput(f"project wants a number such as '16' or '16.1795331125', got {value!r}")
    return int(text)


def _interactive(task: Task, project_id: int, xml: str, gestures: list[Any]) -> Interactive:
    if len(gestures) > _MAX_CLICKS:
        raise BadInput(f"params.context.result holds {len(gestures)} clicks; accept some of them first")
    config = LabelConfig.parse(xml)
    n_frames = len(config.frame_refs(task.data))
    read = [_gesture(item, config, n_frames, number) for number, item in enumerate(gestures)]
    last = read[-1]
    return Interactive(task, project_id, xml, config, _wish(read, config), last.id, last.size_hw)


def _wish(read: Sequence[_Gesture], config: LabelConfig) -> Propagate | MakeMasks | LabelClip | Clicks:
    """What the last gesture, with the earlier ones of its kind, asks for."""
    last = read[-1]
    if last.label == PROPAGATE and isinstance(last.prompt, PointPrompt):
        return Propagate(last.frame_index, last.prompt.x_px, last.prompt.y_px)
    if config.labels_clips and last.label == LABEL_CLIP:
        return LabelClip(last.frame_index)
    if config.makes_masks and last.label == MAKE_MASKS:
        return MakeMasks(last.frame_index)
    if config.makes_masks and isinstance(last.prompt, BoxPrompt):
        return MakeMasks(last.frame_index, (last.prompt,))
    same = [g.prompt for g in read if (g.label, g.frame_index) == (last.label, last.frame_index)]
    return Clicks(
        last.label,
        last.frame_index,
        tuple(p for p in same if isinstance(p, PointPrompt)),
        tuple(p for p in same if isinstance(p, BoxPrompt)),
    )


@dataclass(frozen=True)
class _Gesture:
    id: str
    label: str
    frame_index: int
    size_hw: tuple[int, int]
    prompt: PointPrompt | BoxPrompt


def _gesture(item: object, config: LabelConfig, n_frames: int, number: int) -> _Gesture:
    where = f"params.context.result[{number}]"
    result = _mapping(item, where)
    value = _mapping(result.get("value"), f"{where}.value")
    kind = result.get("type")
    control = {c.kind: c for c in (config.point, config.box) if c is not None}.get(str(kind))
    if control is None or result.get("from_name") != control.name:
        raise BadInput(
            f"{where}: {kind!r} from {result.get('from_name')!r} is no smart tool of this configuration; "
            "click with KeyPointLabels or drag with RectangleLabels"
        )
    labels = value.get(control.kind) or value.get("labels")
    if not isinstance(labels, list) or len(labels) != 1 or labels[0] not in control.labels:
        raise BadInput(f"{where}: label {labels!r} is not one of {', '.join(map(repr, control.labels))}")
    frame_index = _whole(
        result.get("item_index", None if config.is_multi_image else 0), f"{where}.item_index"
    )
    if frame_index >= n_frames:
        raise BadInput(f"{where}.item_index is {frame_index}; the clip has frames 0 to {n_frames - 1}")
    height = _whole(result.get("original_height"), f"{where}.original_height", least=1)
    width = _whole(result.get("original_width"), f"{where}.original_width", least=1)
    prompt: PointPrompt | BoxPrompt
    if control is config.point:
        positive = result.get("is_positive") is not False
        prompt = _point(value, where, labels[0], frame_index, (height, width), positive)
    else:
        prompt = _box(value, where, labels[0], frame_index, (height, width))
    return _Gesture(str(result.get("id") or ""), labels[0], frame_index, (height, width), prompt)


def _point(
    value: Mapping[str, Any],
    where: str,
    label: str,
    frame_index: int,
    size_hw: tuple[int, int],
    positive: bool,
) -> PointPrompt:
    x, y = (_percent(value, key, where) for key in ("x", "y"))
    return PointPrompt(label, frame_index, x / 100 * size_hw[1], y / 100 * size_hw[0], positive)


def _box(
    value: Mapping[str, Any], where: str, label: str, frame_index: int, size_hw: tuple[int, int]
) -> BoxPrompt:
    """Corners in pixels, kept inside the frame. A turned box is taken as if it were upright."""
    height, width = size_hw
    x, y, w, h = (_percent(value, key, where) for key in ("x", "y", "width", "height"))
    x0, x1 = (min(max(p / 100 * width, 0.0), float(width)) for p in sorted((x, x + w)))
    y0, y1 = (min(max(p / 100 * height, 0.0), float(height)) for p in sorted((y, y + h)))
    if x1 - x0 < 1 or y1 - y0 < 1:
        raise BadInput(f"{where}: the box is {x1 - x0:.1f} x {y1 - y0:.1f} pixels; drag a larger one")
    return BoxPrompt(label, frame_index, x0, y0, x1, y1)


def _percent(value: Mapping[str, Any], key: str, where: str) -> float:
    number = value.get(key)
    if isinstance(number, bool) or not isinstance(number, int | float) or not -1000 <= number <= 1000:
        raise BadInput(f"{where}.value.{key} wants a percentage, got {number!r}")
    return float(number)


def _task(item: object, number: int) -> Task:
    task = _mapping(item, f"tasks[{number}]")
    return Task(
        id=_whole(task.get("id"), f"tasks[{number}].id"),
        data=_mapping(task.get("data"), f"tasks[{number}].data"),
        annotations=_objects(task.get("annotations")),
        predictions=_objects(task.get("predictions")),
        drafts=tuple(drafts_of(task.get("drafts"))),
    )


def _objects(value: object) -> tuple[dict[str, Any], ...]:
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def _whole(value: object, name: str, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise BadInput(f"{name} wants a whole number of at least {least}, got {value!r}")
    return value


def _mapping(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(f"{name} wants an object, got {type(value).__name__}")
    return value


def _list(value: object, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadInput(f"{name} wants a list, got {type(value).__name__}")
    return value
