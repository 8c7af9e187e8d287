"""Pictures that belong together become clips: those of one video or one folder, in order and of one size."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backends.core.errors import BadInput
from backends.core.images import image_size
from pipelines.export.formats.losses import Losses
from pipelines.importing.found import choose
from pipelines.progress import Track

_UNREADABLE = "pictures that cannot be used: {count} (first: {first})"
_OTHER_SIZE = "pictures of another size than their data say: {count} (first: {first})"
_APART = "folders of pictures of several sizes, so that each is a clip: {count} (first: {first})"


@dataclass(frozen=True)
class Picture:
    """One picture of a data set."""

    path: Path
    group: str
    """The video or folder it belongs to; empty: it stands for itself."""
    order: int | None = None
    """Its frame number where the data say one."""
    told_hw: tuple[Any, Any] | None = None
    """The (height, width) that the data say."""
    size_hw: tuple[int, int] = (0, 0)
    """Its own."""
    stem: str = ""
    """Its name where that is not the file's."""

    @property
    def name(self) -> str:
        """Of the frame."""
        return self.stem or self.path.stem


def grouped(
    pictures: Sequence[Picture], only: Sequence[str], max_pixels: int, losses: Losses, progress: Track
) -> list[tuple[str, tuple[Picture, ...]]]:
    """(name, pictures in order) of every (wanted) clip; pictures that cannot be used are told."""
    groups: dict[str, list[Picture]] = {}
    for picture in progress(pictures, total=len(pictures), label="looking at pictures"):
        if (measured := _measured(picture, max_pixels, losses)) is not None:
            groups.setdefault(picture.group, []).append(measured)
    clips: list[tuple[str, tuple[Picture, ...]]] = []
    for group, found in groups.items():
        ordered = sorted(found, key=_order)
        if group and _is_sequence(ordered):
            clips.append((group, tuple(ordered)))
            continue
        if group:
            losses.add(_APART, group)
        clips += [(f"{group}-{one.name}" if group else one.name, (one,)) for one in ordered]
    wanted = choose([name for name, _ in clips], only)
    return [clip for clip in clips if clip[0] in wanted]


def _measured(picture: Picture, max_pixels: int, losses: Losses) -> Picture | None:
    try:
        size_hw = image_size(picture.path, max_pixels=max_pixels)
    except BadInput as error:
        losses.add(_UNREADABLE, error)
        return None
    if picture.told_hw is not None and picture.told_hw != size_hw:
        losses.add(_OTHER_SIZE, picture.path)
        return None
    return replace(picture, size_hw=size_hw)


def _is_sequence(pictures: Sequence[Picture]) -> bool:
    names = {picture.name for picture in pictures}
    return len({picture.size_hw for picture in pictures}) == 1 and len(names) == len(pictures)


def _order(picture: Picture) -> tuple[bool, int, list[tuple[bool, int, str]]]:
    parts = re.split(r"(\d+)", picture.name)
    natural = [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
    return picture.order is None, picture.order or 0, natural
