"""Drafts: what the annotator has painted but not yet submitted.

A region in a draft is not what a submitted region is. The editor saves drafts "fast": an untouched mask keeps
its ``value.rle``, strokes made since are listed in ``value.touches`` and are *not* in the RLE. A stroke is
``{"type": "add" | "eraser", "relativePoints": [x, y, x, y, …] in percent of width and height,
"relativeStrokeWidth": percent of the width}``, drawn with round caps and joins. On Submit the editor draws
the RLE, then the strokes in order, into one RLE; :func:`rasterise` does the same.

Autosave lags up to 5 s behind the hand. A draft that holds the click which triggered a request is certainly
as new as the request; :func:`wait_for_draft` waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadMask, Unavailable
from backends.core.types import Mask
from backends.labelstudio import rle

MAX_POINTS = 20_000
"""Most points of all strokes of one region; a minute of steady painting makes about 4,000."""

_FINE = 4  # strokes are drawn at four times the resolution; a pixel more than half covered belongs to them
_FIXED_BITS = 4  # OpenCV's fractional bits of a coordinate
_FAR = 1000.0  # percent; the editor lets a stroke leave the picture, but not by this much


@dataclass(frozen=True)
class Draft:
    """One saved draft of one annotator: the whole state of the annotation they are working on."""

    id: int
    user: str
    updated_at: str  # ISO 8601 in UTC, so later sorts after earlier
    result: tuple[dict[str, Any], ...]

    def holds(self, region_id: str) -> bool:
        """Whether a result of this id is in the draft."""
        return any(item.get("id") == region_id for item in self.result)


def drafts_of(payload: object) -> list[Draft]:
    """The well-formed drafts of ``task["drafts"]`` or of Label Studio's list of drafts."""
    items = payload if isinstance(payload, list) else []
    return [draft for item in items if (draft := _draft(item)) is not None]


def freshest(drafts: Iterable[Draft], trigger_id: str = "", user: str = "") -> Draft | None:
    """The draft that holds the trigger; else the last saved one (of ``user``, when given)."""
    mine = sorted(
        (d for d in drafts if not user or d.user == user or (trigger_id and d.holds(trigger_id))),
        key=lambda d: (d.updated_at, d.id),
    )
    if trigger_id and (holding := [d for d in mine if d.holds(trigger_id)]):
        return holding[-1]
    return mine[-1] if mine else None


def wait_for_draft(
    fetch: Callable[[], Sequence[Draft]],
    trigger_id: str,
    timeout_s: float,
    *,
    poll_s: float = 0.25,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Draft | None:
    """Ask ``fetch`` until a draft holds the trigger; None when ``timeout_s`` pass without one.

    Label Studio being away for a moment is waited out like a missing draft: the caller falls back either way.
    """
    deadline = clock() + timeout_s
    while True:
        try:
            holding = [d for d in fetch() if d.holds(trigger_id)]
        except Unavailable:
            holding = []
        if holding:
            return freshest(holding, trigger_id)
        if clock() + poll_s > deadline:
            return None
        sleep(poll_s)


def latest_annotation(annotations: object) -> tuple[dict[str, Any], ...]:
    """The result of the annotation saved last; empty when there is none (cancelled ones do not count)."""
    items = [a for a in annotations if isinstance(a, dict)] if isinstance(annotations, list) else []
    items = [a for a in items if isinstance(a.get("result"), list) and not a.get("was_cancelled")]
    if not items:
        return ()
    last = max(
        items, key=lambda a: (str(a.get("updated_at") or a.get("created_at") or ""), _number(a.get("id")))
    )
    return tuple(item for item in last["result"] if isinstance(item, dict))


def rasterise(value: Mapping[str, Any], size_hw: tuple[int, int]) -> Mask:
    """A brush region's ``value`` -> (H, W) bool: its RLE, if any, then its strokes in the order drawn.

    Raises BadMask when neither is there, or one cannot be read.
    """
    base, touches = value.get("rle"), value.get("touches") or []
    if value.get("format", "rle") != "rle":
        raise BadMask(f"mask has format {value.get('format')!r}; the brush of Label Studio writes 'rle'")
    if value.get("maskDataURL"):
        raise BadMask("mask is stored as an image of its own; save it with the brush instead")
    if not base and not touches:
        raise BadMask("region has neither an RLE nor strokes: nothing was painted")
    mask: Mask = rle.decode(base, size_hw) if base else np.zeros(size_hw, np.bool_)
    for stroke in _strokes(touches, size_hw):
        area = mask[stroke.rows, stroke.columns]
        if stroke.erases:
            area &= ~stroke.inked
        else:
            area |= stroke.inked
    return mask


@dataclass(frozen=True)
class _Stroke:
    """The pixels of one stroke inside the window of the frame that it touches."""

    rows: slice
    columns: slice
    inked: Mask
    erases: bool


def _strokes(touches: object, size_hw: tuple[int, int]) -> Iterable[_Stroke]:
    if not isinstance(touches, list):
        raise BadMask(f"strokes want a list, got {type(touches).__name__}")
    points_left = MAX_POINTS
    for number, touch in enumerate(touches):
        if not isinstance(touch, Mapping):
            raise BadMask(f"stroke {number} wants an object, got {type(touch).__name__}")
        points, width_px = _geometry(touch, size_hw, f"stroke {number}")
        points_left -= len(points)
        if points_left < 0:
            raise BadMask(f"strokes have more than {MAX_POINTS} points; submit once, then go on painting")
        kind = touch.get("type", "add")
        if kind not in ("add", "eraser"):
            raise BadMask(f"stroke {number} has type {kind!r}; known are 'add' and 'eraser'")
        yield _draw(points, width_px, size_hw, kind == "eraser")


def _geometry(
    touch: Mapping[str, Any], size_hw: tuple[int, int], name: str
) -> tuple[NDArray[np.float64], float]:
    """The stroke's points, (n, 2) float64 (x, y) in pixels, and its width in pixels."""
    height, width = size_hw
    try:
        percent = np.asarray(touch.get("relativePoints"), np.float64)
        stroke_width = float(touch.get("relativeStrokeWidth"))  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise BadMask(f"{name}: relativePoints and relativeStrokeWidth want numbers") from error
    if percent.ndim != 1 or percent.size < 2 or percent.size % 2:
        raise BadMask(f"{name}: relativePoints wants x, y, x, y, …; got {percent.size} numbers")
    if not np.isfinite(percent).all() or np.abs(percent).max() > _FAR:
        raise BadMask(f"{name}: a point lies outside every picture")
    if not 0 < stroke_width <= 100:
        raise BadMask(f"{name}: relativeStrokeWidth is {stroke_width} % of the width; wants 0 to 100")
    return percent.reshape(-1, 2) * (width / 100, height / 100), stroke_width / 100 * width


def _draw(points: NDArray[np.float64], width_px: float, size_hw: tuple[int, int], erases: bool) -> _Stroke:
    """Ink the polyline at a finer resolution and keep the pixels that are at least half covered."""
    reach = width_px / 2 + 1
    low = np.clip(np.floor(points.min(axis=0) - reach), 0, size_hw[::-1]).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + reach), 0, size_hw[::-1]).astype(int)
    columns, rows = slice(low[0], high[0]), slice(low[1], high[1])
    shape = (high[1] - low[1], high[0] - low[0])
    if 0 in shape:
        return _Stroke(rows, columns, np.zeros(shape, np.bool_), erases)
    fine = np.zeros((shape[0] * _FINE, shape[1] * _FINE), np.uint8)
    # a pixel's centre is a whole number for OpenCV and a half for the editor's canvas
    line = np.round(((points - low) * _FINE - 0.5) * (1 << _FIXED_BITS)).astype(np.int32)
    if len(line) == 1:
        line = np.repeat(line, 2, axis=0)
    # OpenCV draws a thickness of 2 n as 2 n + 1 pixels
    thickness = max(1, 2 * round((width_px * _FINE - 1) / 2))
    cv2.polylines(fine, [line.reshape(-1, 1, 2)], False, 255, thickness, cv2.LINE_8, _FIXED_BITS)
    covered = cv2.resize(fine, shape[::-1], interpolation=cv2.INTER_AREA)
    return _Stroke(rows, columns, covered >= 128, erases)


def _draft(item: object) -> Draft | None:
    if not isinstance(item, dict) or not isinstance(item.get("result"), list):
        return None
    result = tuple(r for r in item["result"] if isinstance(r, dict))
    return Draft(
        _number(item.get("id")), str(item.get("user") or ""), str(item.get("updated_at") or ""), result
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
