"""Propagation over plain files: frames and some masks in, a palette PNG per frame out; no server needed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from backends.core.errors import BadMask
from backends.core.frames import clip_from_folder
from backends.core.images import MAX_PIXELS, read_index_mask
from backends.core.types import Clip, FrameMasks, MaskPrompt, Segmenter
from pipelines.atomic import write_json
from pipelines.media.palette import IndexMap, indices_in, is_white_on_black, white_as_one, write_index_png
from pipelines.media.video import unpack_video
from pipelines.out_folder import check_out
from pipelines.progress import Track, quiet
from pipelines.stopwatch import Stopwatch

REPORT = "propagate.json"


@dataclass(frozen=True)
class Anchors:
    """The given masks: frame index -> index map of the frame's size."""

    maps: dict[int, IndexMap]
    files: dict[int, str]

    @property
    def objects(self) -> list[int]:
        """All objects, ascending."""
        return sorted({number for index in self.maps.values() for number in indices_in(index)})

    def prompts(self) -> list[MaskPrompt]:
        """One MaskPrompt per object and frame; objects are called by their number."""
        return [
            MaskPrompt(str(number), frame, np.equal(index, number))
            for frame, index in sorted(self.maps.items())
            for number in indices_in(index)
        ]


def propagate_files(
    load: Callable[[], Segmenter],
    frames: Path,
    masks: Path,
    out: Path,
    *,
    progress: Track = quiet,
    max_pixels: int = MAX_PIXELS,
) -> dict[str, Any]:
    """Writes ``out/<frame>.png`` for every frame and ``out/propagate.json``; returns what the latter holds.

    ``frames`` is a folder of pictures in name order or one video file, ``masks`` a folder of PNGs named like
    their frames (for a video: 00000.png is the first frame). A mask need not show every object; given masks
    come back bit for bit. An interrupt keeps the frames written so far. Raises BadMedia and BadMask when the
    input cannot be used, before ``load`` is called and before anything is written.
    """
    check_out(out, {"--frames": frames, "--masks": masks})
    with _opened(frames, max_pixels, progress) as (clip, notes):
        anchors = read_anchors(masks, clip, max_pixels=max_pixels)
        segmenter = load()
        run = _Run(clip, anchors, out, segmenter.version, notes)
        try:
            stream = run.watch.segment(segmenter, clip, anchors.prompts())
            for result in progress(stream, total=len(clip), label="propagate"):
                run.write(result)
        finally:
            if run.frames:
                write_json(out / REPORT, run.report())
    return run.report()


def read_anchors(folder: Path, clip: Clip, *, max_pixels: int = MAX_PIXELS) -> Anchors:
    """The folder's PNG masks by the frame they are named like.

    255 is object 255 only where some mask holds it beside another object; {0, 255} masks hold object 1.
    Raises BadMask, naming the file, for no mask at all, an unknown frame, another size, or an empty mask.
    """
    if not folder.is_dir():
        raise BadMask(f"{folder}: no such folder of masks")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".png" and not p.name.startswith("."))
    if not paths:
        raise BadMask(f"{folder}: no PNG masks in it; wants at least one, named like its frame")
    index_of = {name: index for index, name in enumerate(clip.names)}
    maps: dict[int, IndexMap] = {}
    files: dict[int, str] = {}
    for path in paths:
        frame = _frame_of(path, index_of)
        maps[frame] = _read_checked(path, clip.size_hw, max_pixels)
        files[frame] = path.name
    if not any(255 in indices_in(index) and not is_white_on_black(index) for index in maps.values()):
        maps = {frame: white_as_one(m) if is_white_on_black(m) else m for frame, m in maps.items()}
    return Anchors(maps, files)


@dataclass
class _Run:
    clip: Clip
    anchors: Anchors
    out: Path
    version: str
    notes: list[str]
    watch: Stopwatch = field(default_factory=Stopwatch)
    frames: dict[int, dict[str, Any]] = field(default_factory=dict)

    def write(self, result: FrameMasks) -> None:
        anchor = self.anchors.maps.get(result.frame_index)
        index = compose(result, anchor, self.clip.size_hw)
        name = self.clip.names[result.frame_index]
        write_index_png(self.out / f"{name}.png", index)
        given = set() if anchor is None else set(indices_in(anchor))
        self.frames[result.frame_index] = {
            "name": name,
            "objects": {
                str(number): {
                    "confidence": 1.0 if number in given else round(_confidence(result, number), 4),
                    "area_px": int(np.count_nonzero(index == number)),
                    "anchor": number in given,
                }
                for number in self.anchors.objects
            },
        }

    def report(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "complete": len(self.frames) == len(self.clip),
            "ms_per_frame": self.watch.ms_per_frame,
            "size_hw": list(self.clip.size_hw),
            "objects": self.anchors.objects,
            "anchors": {self.clip.names[frame]: name for frame, name in sorted(self.anchors.files.items())},
            "notes": self.notes,
            "frames": [self.frames[index] for index in sorted(self.frames)],
        }


def compose(result: FrameMasks, anchor: IndexMap | None, size_hw: tuple[int, int]) -> IndexMap:
    """One frame's masks as an index map (H, W); where masks overlap the more confident one is on top.

    A given map lies over everything, and its objects are nowhere but where it shows them.
    """
    index = np.zeros(size_hw, np.uint8)
    given = set() if anchor is None else set(indices_in(anchor))
    numbers = sorted((int(name) for name in result.masks), key=lambda n: (_confidence(result, n), -n))
    for number in numbers:
        if number not in given:
            index[result.masks[str(number)]] = number
    return index if anchor is None else np.where(anchor != 0, anchor, index).astype(np.uint8)


def _confidence(result: FrameMasks, number: int) -> float:
    return float(result.confidence.get(str(number), 0.0))


def _frame_of(path: Path, index_of: dict[str, int]) -> int:
    if path.stem not in index_of:
        names = list(index_of)
        raise BadMask(f"{path}: no frame is called {path.stem}; the frames are {names[0]} to {names[-1]}")
    return index_of[path.stem]


def _read_checked(path: Path, size_hw: tuple[int, int], max_pixels: int) -> IndexMap:
    index = read_index_mask(path, max_pixels=max_pixels)
    if index.shape != size_hw:
        raise BadMask(
            f"{path}: {index.shape[1]}x{index.shape[0]} pixels; its frame has {size_hw[1]}x{size_hw[0]}"
        )
    if not index.any():
        raise BadMask(f"{path}: the mask is empty; paint the object or take the file away")
    return index


@contextmanager
def _opened(frames: Path, max_pixels: int, progress: Track) -> Iterator[tuple[Clip, list[str]]]:
    if not frames.is_file():
        yield clip_from_folder(frames, max_pixels=max_pixels), []
        return
    with tempfile.TemporaryDirectory(prefix="maskloop-frames-") as scratch:
        yield unpack_video(frames, Path(scratch), max_pixels=max_pixels, progress=progress)
