"""Pictures on their way out: frames copied byte for byte, label maps as PNG.

A frame that its EXIF tag turns is written upright instead, since masks lie on what viewers show and most
readers of data sets know no such tag.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from backends.core.errors import BadMedia
from backends.core.images import open_image
from pipelines.export.formats.losses import Losses
from pipelines.export.formats.view import FrameWork
from pipelines.media.palette import index_png

_TURNED = "written upright and encoded again, for their EXIF tag turns them: {count} frames ({first} first)"
_NOT_JPEG = "no .jpg, so programs that look for *.jpg pass over them: {count} frames ({first} first)"
_QUALITY = 95


def put_frame(frame: FrameWork, folder: Path, name: str, losses: Losses) -> Path:
    """The frame's picture in ``folder`` under ``name`` and its own suffix; where it is now.

    Raises BadMedia when the picture vanished meanwhile.
    """
    target = folder / f"{name}{frame.path.suffix.lower()}"
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if is_turned(frame.path):
            losses.add(_TURNED, frame)
            Pillow.fromarray(open_image(frame.path)).save(target, quality=_QUALITY)
        else:
            shutil.copyfile(frame.path, target)
    except FileNotFoundError as error:
        if frame.path.is_file():
            raise
        raise BadMedia(f"{frame}: {frame.path} vanished while it was copied; run the export again") from error
    return target


def put_frame_as_png(frame: FrameWork, target: Path) -> None:
    """The frame's pixels as they are shown, as PNG. Raises BadMedia when they cannot be read."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if frame.path.suffix.lower() == ".png" and not is_turned(frame.path):
        shutil.copyfile(frame.path, target)
        return
    Pillow.fromarray(open_image(frame.path)).save(target, compress_level=3)


def tell_not_jpeg(picture: Path, frame: FrameWork, losses: Losses) -> None:
    """Programs for data sets of videos often list ``*.jpg`` only."""
    if picture.suffix != ".jpg":
        losses.add(_NOT_JPEG, frame)


def put_index_map(ids: NDArray[np.generic], target: Path) -> None:
    """(H, W) numbers 0 to 255 -> a PNG of mode P in the colours of DAVIS and VOC."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(index_png(ids.astype(np.uint8)))


def is_turned(path: Path) -> bool:
    """Whether a viewer shows the picture otherwise than its pixels are stored."""
    try:
        with Pillow.open(path) as image:
            return int(image.getexif().get(0x0112, 1)) not in (0, 1)
    except FileNotFoundError:
        raise
    except Exception:  # a broken tag: viewers show such a picture unturned
        return False
