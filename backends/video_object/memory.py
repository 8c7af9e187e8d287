"""What the network knows of one clip: the masks that are given, and the template they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from backends.core.errors import BadInput, BadMask
from backends.core.types import Clip, Mask, MaskPrompt, Prompt
from backends.video_object.geometry import Geometry
from backends.video_object.network import Encoding, Engine
from backends.video_object.template import Rows, coarse, condense

FULL_FRAMES = 2  # matched at once at most: they enter with the objects' cells at full resolution
POOLED_FRAMES = 6  # likewise: they enter pooled 2x2; where more may be, all are pooled 4x4


@dataclass(frozen=True)
class Given:
    """The masks of a request by frame and object. The string is the identity, the slot its place here."""

    objects: tuple[str, ...]
    by_frame: dict[int, dict[int, MaskPrompt]]  # frame index -> object slot -> prompt

    @staticmethod
    def of(clip: Clip, prompts: Sequence[Prompt]) -> Given:
        """Check and index. Raises BadInput for other kinds of prompts, BadMask for size, range, emptiness."""
        masks = [p for p in prompts if isinstance(p, MaskPrompt)]
        if len(masks) < len(prompts):
            raise BadInput("propagation starts from masks; turn points and boxes into a mask first")
        if not masks:
            raise BadInput("no mask to start from: paint one object on one frame")
        for prompt in masks:
            _check(prompt, clip)
        objects = tuple(dict.fromkeys(p.object_id for p in masks))
        if len(objects) > 255:
            raise BadInput(f"{len(objects)} objects in one clip; at most 255")
        for name in objects:
            if not any(p.mask.any() for p in masks if p.object_id == name):
                raise BadMask(f"object {name!r} has only empty masks; paint it on at least one frame")
        by_frame: dict[int, dict[int, MaskPrompt]] = {}
        for prompt in masks:
            cell = by_frame.setdefault(prompt.frame_index, {})
            slot = objects.index(prompt.object_id)
            if slot not in cell or prompt.is_anchor:
                cell[slot] = prompt
        if all(p.soft is not None for p in masks):
            raise BadInput("only states to go on from were given; the masks they came from are needed too")
        return Given(objects, by_frame)

    @property
    def first(self) -> int:
        """The first frame with a given mask."""
        return min(t for t, cell in self.by_frame.items() if _is_source(cell))

    @property
    def last(self) -> int:
        """The last frame with a given mask."""
        return max(t for t, cell in self.by_frame.items() if _is_source(cell))

    def frames_of(self, slot: int) -> list[int]:
        """Frames where this object's mask is given, in order; states to go on from do not count."""
        return sorted(t for t, cell in self.by_frame.items() if slot in cell and cell[slot].soft is None)

    def anchors_on(self, frame: int) -> dict[str, Mask]:
        """Masks that a person gave for this frame."""
        cell = self.by_frame.get(frame, {})
        return {p.object_id: p.mask for p in cell.values() if p.is_anchor}

    def template_frames(self) -> list[int]:
        """All frames with anchors; without anchors, all frames with given masks."""
        frames = sorted(t for t, cell in self.by_frame.items() if any(p.is_anchor for p in cell.values()))
        return frames or sorted(t for t, cell in self.by_frame.items() if _is_source(cell))

    def nearest_template_frames(self, frame: int) -> tuple[int, ...]:
        """Places in :meth:`template_frames` of the nearest for each object; of two the earlier one."""
        frames = self.template_frames()
        nearest = set()
        for slot in range(len(self.objects)):
            mine = [i for i, t in enumerate(frames) if t in self.frames_of(slot)]
            nearest.add(min(mine, key=lambda i: abs(frames[i] - frame), default=0))
        return tuple(sorted(nearest))

    def nearest(self, slot: int, frame: int) -> int:
        """How many frames lie between this one and the nearest on which the object's mask is given."""
        return min((abs(frame - t) for t in self.frames_of(slot)), default=0)


def _is_source(cell: dict[int, MaskPrompt]) -> bool:
    return any(p.soft is None for p in cell.values())


def _check(prompt: MaskPrompt, clip: Clip) -> None:
    where = f"mask of {prompt.object_id!r} on frame {prompt.frame_index}"
    if prompt.frame_index >= len(clip):
        raise BadMask(f"{where}: the clip has {len(clip)} frames")
    if prompt.mask.shape != clip.size_hw:
        came = f"{prompt.mask.shape[1]}x{prompt.mask.shape[0]}"
        raise BadMask(f"{where} is {came}; the frames are {clip.size_hw[1]}x{clip.size_hw[0]}")


def rows_of_anchors(
    engine: Engine, clip: Clip, given: Given, geometry: Geometry, device: torch.device
) -> Rows:
    """Every mask that a person gave joins, one part per frame, each encoded once.

    Of each object only the nearest frame is matched at a time, so with many objects the parts get coarser.
    """
    frames = given.template_frames()
    at_once = min(len(frames), len(given.objects))
    rows = Rows()
    for frame in frames:
        encoding = engine.encode(geometry.of_clip(clip, frame, device))
        cells = _cells(given.by_frame[frame], len(given.objects), geometry, device)
        if at_once <= FULL_FRAMES:
            part = condense(encoding.embedded, cells, encoding.grid_hw)
        else:
            side = 2 if at_once <= POOLED_FRAMES else 4
            part = coarse(encoding.embedded, cells, encoding.grid_hw, side)
        rows = rows.join(*part)
    return rows


def remembered(encoding: Encoding, masks: Tensor, sure: Sequence[bool]) -> tuple[Tensor, Tensor]:
    """Rows of a frame that the network itself segmented: (1, n, C) and (1, K, n).

    ``masks`` (K, 4h, 4w) are its probabilities; about objects that are not ``sure`` it says nothing.
    """
    cells = F.avg_pool2d(masks[None], 4).flatten(2)
    told = torch.tensor(list(sure), device=masks.device)[None, :, None]
    return coarse(encoding.embedded, torch.where(told, cells, -1.0), encoding.grid_hw, 2)


def _cells(cell: dict[int, MaskPrompt], slots: int, geometry: Geometry, device: torch.device) -> Tensor:
    """(1, K, N) share of each matching cell; -1 for objects that nobody marked on this frame."""
    height, width = geometry.grid_hw
    shares = torch.full((1, slots, height * width), -1.0, device=device)
    for slot, prompt in cell.items():
        if prompt.soft is not None:
            continue
        soft = geometry.soft_mask(prompt.mask, device)
        shares[0, slot] = F.avg_pool2d(soft[None], 4).flatten()
    return shares
