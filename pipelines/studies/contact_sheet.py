"""Contact sheets: a few frames in rows and columns with masks drawn over them, as one PNG to look at."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from backends.core.types import Image, Mask
from pipelines.atomic import write_bytes

CELL_WIDTH_PX = 240
_HEADER_PX = 18
_COLOURS = ((255, 60, 60), (60, 230, 90), (70, 130, 255), (255, 210, 40))


@dataclass(frozen=True)
class Row:
    """A line of equally large pictures under one caption."""

    caption: str
    pictures: tuple[Image, ...]


def outlined(image: Image, masks: Sequence[Mask]) -> Image:
    """The frame in dim grey with each mask (H, W) in tinted colour; mask ``i`` always gets colour ``i``."""
    shown = np.repeat(0.55 * image.mean(2, keepdims=True), 3, axis=2).astype(np.float32)
    for number, mask in enumerate(masks):
        colour = np.array(_COLOURS[number % len(_COLOURS)], np.float32)
        shown[mask] = 0.5 * image[mask] + 0.5 * colour
    out = np.ascontiguousarray(shown.astype(np.uint8))
    for number, mask in enumerate(masks):
        lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(out, lines, -1, _COLOURS[number % len(_COLOURS)], max(1, image.shape[1] // 280))
    return out


def write_sheet(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows one below the other as a PNG, atomically; pictures are scaled to ``CELL_WIDTH_PX``."""
    lines = [_line(row) for row in rows]
    width = max(line.shape[1] for line in lines)
    sheet = np.vstack([np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0))) for line in lines])
    buffer = io.BytesIO()
    Pillow.fromarray(sheet).save(buffer, format="PNG")
    write_bytes(path, buffer.getvalue())


def _line(row: Row) -> Image:
    height, width = row.pictures[0].shape[:2]
    cell_wh = (CELL_WIDTH_PX, max(1, round(height * CELL_WIDTH_PX / width)))
    cells = [cv2.resize(picture, cell_wh, interpolation=cv2.INTER_AREA) for picture in row.pictures]
    header = Pillow.new("RGB", (CELL_WIDTH_PX * len(cells), _HEADER_PX), (24, 24, 24))
    ImageDraw.Draw(header).text((4, 3), row.caption, fill=(240, 240, 240))
    return np.vstack([np.asarray(header), np.hstack(cells)]).astype(np.uint8)
