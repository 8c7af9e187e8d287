"""The nouns that cross a seam: clip, prompts, per-frame masks. Values only; no files, no tensors, no JSON.

Axis order is always (row, column), images are RGB ``uint8``, masks are ``bool``, frame indices are 0-based.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadMask, BadMedia

Image = NDArray[np.uint8]  # (H, W, 3) RGB 0..255
Soft = NDArray[np.uint8]  # (h, w) probability 0..255 at the network's own resolution
Mask = NDArray[np.bool_]  # (H, W)


class Frames(Protocol):
    """A readable sequence of equally sized RGB frames; decoding happens on access."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Image: ...


@dataclass(frozen=True)
class Clip:
    """An ordered run of frames of one size.

    ``names`` are the frames' own file stems (used for output files); ``clip_id`` is stable over runs.
    """

    clip_id: str
    frames: Frames
    size_hw: tuple[int, int]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.frames) == 0:
            raise BadMedia(f"clip {self.clip_id!r} has no frames; give at least one readable frame")
        if len(self.names) != len(self.frames):
            raise BadMedia(f"clip {self.clip_id!r}: {len(self.names)} names for {len(self.frames)} frames")

    def __len__(self) -> int:
        return len(self.frames)

    def part(self, start: int, stop: int) -> Clip:
        """The frames ``start <= i < stop`` as a clip of their own (frame 0 of the part is ``start`` here)."""
        return Clip(self.clip_id, _Part(self.frames, start, stop), self.size_hw, self.names[start:stop])


@dataclass(frozen=True)
class _Part:
    frames: Frames
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, index: int) -> Image:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.frames[self.start + index]


@dataclass(frozen=True)
class MaskPrompt:
    """The mask of one object on one frame.

    ``is_anchor`` True: a person drew or changed it; it enters the template and is never overwritten.
    False: a machine's finished mask, used only as the state to go on from (the end of a re-run span). With
    ``soft``, the segmenter's own state of that frame, a pass goes on exactly as if it had never stopped.
    """

    object_id: str
    frame_index: int
    mask: Mask  # (H, W) bool
    is_anchor: bool = True
    soft: Soft | None = None

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.dtype != np.bool_:
            raise BadMask(
                f"mask of {self.object_id!r} on frame {self.frame_index}: wants a 2-D bool array, "
                f"got {self.mask.ndim}-D {self.mask.dtype}"
            )
        if self.frame_index < 0:
            raise BadMask(f"mask of {self.object_id!r}: frame index {self.frame_index} is negative")


@dataclass(frozen=True)
class PointPrompt:
    """A click, in pixels of the frame: x to the right, y down; ``positive`` means "this belongs to it"."""

    object_id: str
    frame_index: int
    x_px: float
    y_px: float
    positive: bool = True


@dataclass(frozen=True)
class BoxPrompt:
    """A box in pixels of the frame; (x0, y0) inclusive, (x1, y1) exclusive."""

    object_id: str
    frame_index: int
    x0_px: float
    y0_px: float
    x1_px: float
    y1_px: float


@dataclass(frozen=True)
class TagPrompt:
    """The class named ``object_id`` is somewhere in the frame."""

    object_id: str
    frame_index: int


Prompt = MaskPrompt | PointPrompt | BoxPrompt | TagPrompt


@dataclass(frozen=True)
class FrameMasks:
    """What a segmenter says of one frame: each object's mask and confidence (0..1).

    An object that is known but not visible has an all-False mask. Objects that a person's mask fixes on this
    frame are named in ``anchors`` and come back bit for bit with confidence 1. ``soft`` is what a later run
    needs beside the masks to go on from this frame (see MaskPrompt); a segmenter without it leaves it empty.
    ``signals`` are what the confidence was worked out from, by object and name, where a segmenter tells them;
    ``notes`` what a person should know of this frame, in words.
    """

    frame_index: int
    masks: Mapping[str, Mask]
    confidence: Mapping[str, float]
    anchors: frozenset[str] = field(default_factory=frozenset)
    soft: Mapping[str, Soft] = field(default_factory=dict)
    signals: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """An immutable training set on disk: DAVIS layout (JPEGImages/, Annotations/) below ``root``."""

    root: Path
    digest: str
    train: tuple[str, ...]  # sequence names
    held_out: tuple[str, ...]


class Segmenter(Protocol):
    """Frames and prompts in, a stream of per-frame masks out.

    Every frame is yielded exactly once, in the order in which it is finished (not always 0, 1, 2 …).
    A segmenter holds weights only; what belongs to one clip lives in the generator.
    """

    version: str

    def segment(self, clip: Clip, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]: ...


class Trainer(Protocol):
    """A snapshot in, a run folder with safetensors, config and metrics out; returns the weights' path."""

    def train(self, snapshot: Snapshot, run_dir: Path, *, start_from: Path | None) -> Path: ...


class PredictionSink(Protocol):
    """Where finished frames go: Label Studio in production, a list in a test."""

    def put(self, task_id: int, frames: Sequence[FrameMasks], model_version: str) -> Sequence[str]:
        """Store all frames of a task; doing it again replaces. Returns what had to be left out, in words.

        Raises BadInput when nothing can be stored and Unavailable when trying later can help.
        """
        ...
