"""Photos for annotators: a folder of pictures becomes JPEGs below the media root and task data.

Each file is named by its stem and its content, so the same photo again costs its digest only, and projects
may share it. What is written is what a viewer shows: turned as EXIF says, 8-bit RGB, at most ``max_side_px``
wide or high. A file that cannot be read is told; the others go on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput, BadMedia, SetupFault
from backends.core.images import SUFFIXES, open_image
from backends.settings import Settings
from pipelines.atomic import write_bytes
from pipelines.media.clip_folder import JPEG_QUALITY, ClipFrame
from pipelines.media.sources import SourceFrame
from pipelines.progress import Track, quiet

PHOTOS = "photos"
"""The folder below the media root; Label Studio serves files of a registered storage only."""

_LAYOUT = "1"  # part of the names: change it when the same photo should give another file


@dataclass(frozen=True)
class IngestedPhotos:
    """Data of one task per photo, in name order; ``notes`` say, a sentence each, what was left out."""

    tasks: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]


def ingest_photos(
    folder: Path,
    settings: Settings,
    *,
    tags: Mapping[str, Sequence[str]] | None = None,
    progress: Track = quiet,
) -> IngestedPhotos:
    """Copy the folder's photos; ``tags``: file name or stem -> classes known to be in it.

    Raises BadMedia when there is no usable photo at all, SetupFault where the media root cannot be written.
    """
    paths = photo_paths(folder)
    tasks: list[dict[str, Any]] = []
    notes: list[str] = []
    given = dict(tags or {})
    for path in progress(paths, total=len(paths), label="photos"):
        try:
            reference = _copied(path, settings)
        except BadMedia as error:
            notes.append(f"left out: {error}")
            continue
        known = given.pop(path.name, None) or given.pop(path.stem, None)
        tasks.append({"image": reference, "name": path.name, **({"tags": list(known)} if known else {})})
    if not tasks:
        raise BadMedia(f"{folder}: none of {len(paths)} files can be read ({notes[0]})")
    if given:
        notes.append(
            f"tags of {len(given)} pictures that are not in {folder}: {', '.join(sorted(given)[:3])}"
        )
    return IngestedPhotos(tuple(tasks), tuple(notes))


def photo_paths(folder: Path) -> list[Path]:
    """The folder's image files in name order. Raises BadMedia for none."""
    if not folder.is_dir():
        raise BadMedia(f"{folder}: no such folder of photos")
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not found:
        raise BadMedia(f"{folder}: no photos in it; wants files ending in {', '.join(sorted(SUFFIXES))}")
    return found


def check_tags(tags: object, classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What a tags file holds: ``{"dog1.jpg": ["dog"], ...}``. Raises BadInput naming the first bad one."""
    if not isinstance(tags, dict):
        raise BadInput(f"the tags want an object of picture: [classes], got {type(tags).__name__}")
    for name, given in tags.items():
        if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
            raise BadInput(f"tags of {name!r}: want a list of class names, got {given!r}")
        if unknown := [item for item in given if item not in classes]:
            raise BadInput(f"tags of {name!r}: {unknown[0]!r} is not among {', '.join(map(repr, classes))}")
    return {name: tuple(given) for name, given in tags.items()}


def _copied(path: Path, settings: Settings) -> str:
    """Label Studio's reference to the photo; written below the media root unless it is there."""
    recipe = f"{_LAYOUT} {settings.max_side_px} {JPEG_QUALITY} ".encode()
    try:
        digest = hashlib.sha256(recipe + path.read_bytes()).hexdigest()[:10]
    except OSError as error:
        raise BadMedia(f"{path}: cannot be read ({error.strerror})") from error
    stem = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:40] or "photo"
    target = settings.media_root / PHOTOS / f"{stem}-{digest}.jpg"
    if not target.is_file():
        read = partial(open_image, path, max_pixels=settings.max_image_pixels)
        jpeg = ClipFrame(SourceFrame(0, path.name, None, read), settings.max_side_px).data
        try:
            write_bytes(target, jpeg)
        except OSError as error:
            where = f"{target.parent}: cannot be written ({error.strerror or error})"
            raise SetupFault(f"{where}; set MASKLOOP_MEDIA_ROOT to a folder of yours") from error
    return f"/data/local-files/?d={PHOTOS}/{target.name}"
