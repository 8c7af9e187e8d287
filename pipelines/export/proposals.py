"""Which of a task's masks a model proposed, which of them a person changed, and how far.

A proposal is known from three places: the task's predictions, the digests of what was shown in the editor,
and the frames that the task's jobs still hold. A prediction also repeats the masks that a person gave the
job; those are nobody's proposal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from math import inf
from typing import Any, Literal

from backends.core.masks import digest, iou, pack, unpack
from backends.core.types import Mask
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.regions import Region, read_masks, region_id
from backends.ledger import TaskCell

Origin = Literal["painted", "corrected", "accepted"]
"""painted: by hand · corrected: a model's proposal that a person changed · accepted: one left as it was."""


@dataclass(frozen=True)
class Judgement:
    """Whose a mask is; ``iou``: of the proposal with it, where the proposal's pixels are at hand."""

    origin: Origin
    proposed_by: str = ""
    iou: float | None = None


@dataclass(frozen=True)
class _Proposal:
    """One mask that a model made for a region, and when (seconds since the epoch)."""

    version: str
    at: float
    digest: str
    size_hw: tuple[int, int]
    packed: bytes = field(repr=False)

    @classmethod
    def of(cls, version: str, at: float, mask: Mask) -> _Proposal:
        height, width = mask.shape
        return cls(version, at, digest(mask), (height, width), pack(mask))

    def overlap(self, mask: Mask) -> float | None:
        """IoU; None for a mask of another size."""
        return iou(unpack(self.packed, self.size_hw), mask) if mask.shape == self.size_hw else None


@dataclass(frozen=True)
class Proposals:
    """What was proposed in one task; pixels are decoded only where a saved region has their id."""

    predictions: Sequence[Mapping[str, Any]]
    config: LabelConfig
    n_frames: int
    size_hw: tuple[int, int]
    machine: Mapping[str, Collection[str]]
    """Region id -> digests of the masks that were shown."""
    cells: Sequence[TaskCell] = ()

    def judge(self, region: Region, told: str, saved_at: str) -> Judgement:
        """Whose ``region`` is. What was made after ``saved_at`` was nobody's proposal, and the last of the
        others was the one that was changed. ``told`` is the editor's own word, for proposals that are gone.
        """
        made, drawn = self._made(region.id)
        before = [proposal for proposal in made if proposal.at <= _epoch(saved_at, inf)]
        same = next((p for p in reversed(before) if p.digest == region.digest), None)
        shown = self.machine.get(region.id, ())
        if same is not None or region.digest in shown:
            return Judgement("accepted", same.version if same else "", 1.0)
        if before:
            return Judgement("corrected", before[-1].version, before[-1].overlap(region.mask))
        if shown and not made:
            return Judgement("corrected")
        if drawn or not told.startswith("prediction"):
            return Judgement("painted")
        return Judgement("corrected" if told == "prediction-changed" else "accepted")

    def removed(self, parent: object, kept: Collection[str]) -> tuple[tuple[str, int], ...]:
        """(label, frame) of what the prediction ``parent`` proposed and an annotation no longer holds."""
        found = {}
        for prediction in self.predictions:
            items = _objects(prediction.get("result")) if prediction.get("id") == parent else []
            for item in items:
                if str(item.get("id")) not in kept:
                    regions, _ = read_masks([item], self.config, self.n_frames, self.size_hw)
                    for region in regions:
                        if region.digest not in self._made(region.id)[1]:
                            found[region.object_id, region.frame_index] = True
        return tuple(found)

    def _made(self, name: str) -> tuple[list[_Proposal], set[str]]:
        """A region's proposals, the earliest first, and the digests of masks that a person gave to jobs."""
        if name not in self._known:
            cells = self._cells_of.get(name, [])
            drawn = {digest(cell.mask) for cell in cells if cell.is_anchor}
            made = [(c.model_version, c.asked_at, c.mask) for c in cells if not c.is_anchor]
            for version, at, item in self._items_of.get(name, []):
                regions, _ = read_masks([item], self.config, self.n_frames, self.size_hw)
                made += [(version, at, region.mask) for region in regions]
            seen = [_Proposal.of(version, at, mask) for version, at, mask in made if mask.any()]
            self._known[name] = (
                sorted((p for p in seen if p.digest not in drawn), key=lambda p: p.at),
                drawn,
            )
        return self._known[name]

    @cached_property
    def _known(self) -> dict[str, tuple[list[_Proposal], set[str]]]:
        return {}

    @cached_property
    def _cells_of(self) -> dict[str, list[TaskCell]]:
        found: dict[str, list[TaskCell]] = defaultdict(list)
        for cell in self.cells:
            found[region_id(cell.object_id, cell.frame_index)].append(cell)
        return found

    @cached_property
    def _items_of(self) -> dict[str, list[tuple[str, float, dict[str, Any]]]]:
        """Region id -> model version, time and result of each prediction that has it."""
        found: dict[str, list[tuple[str, float, dict[str, Any]]]] = defaultdict(list)
        for prediction in self.predictions:
            version, at = (
                str(prediction.get("model_version") or ""),
                _epoch(prediction.get("created_at"), -inf),
            )
            for item in _objects(prediction.get("result")):
                found[str(item.get("id"))].append((version, at, item))
        return found


def _epoch(moment: object, otherwise: float) -> float:
    """ISO 8601 -> seconds since the epoch."""
    try:
        return datetime.fromisoformat(str(moment)).timestamp()
    except ValueError:
        return otherwise


def _objects(items: object) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
