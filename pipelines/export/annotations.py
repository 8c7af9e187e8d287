"""One task of Label Studio as the work people saved in it: opinions with tags and masks, and whose they are.

Knows Label Studio's words and no folder. Who is believed where two people worked on one task is decided here
once (:attr:`TaskWork.mask_opinion`, :attr:`TaskWork.tags`); everything anyone saved stays in ``opinions``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from backends.core.masks import iou, pack, unpack
from backends.core.types import Mask
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.regions import Refusal, Region, read_masks
from backends.labelstudio.tags import read_tags
from backends.ledger import TaskCell
from pipelines.export.proposals import Origin, Proposals

__all__ = ["Opinion", "Origin", "SavedMask", "TaskWork", "read_work"]

_LABELS = "brushlabels"
_RAW = (
    *("id", "completed_by", "created_at", "updated_at", "lead_time", "was_cancelled", "ground_truth"),
    *("parent_prediction", "result"),
)


@dataclass(frozen=True)
class SavedMask:
    """One brush region; the pixels are packed, so that a project of thousands fits into memory."""

    region_id: str
    label: str
    frame_index: int
    size_hw: tuple[int, int]
    digest: str
    origin: Origin
    proposed_by: str  # model version; empty for painted ones and where it is not known
    packed: bytes = field(repr=False)
    proposed_iou: float | None = None
    """Of the machine's proposal with this mask; None where nothing was proposed or its pixels are gone."""

    @property
    def mask(self) -> Mask:
        """(H, W) bool."""
        return unpack(self.packed, self.size_hw)


@dataclass(frozen=True)
class Opinion:
    """One submitted annotation."""

    annotation_id: int
    user: str
    saved_at: str  # ISO 8601, so later sorts after earlier
    is_ground_truth: bool
    tags: tuple[str, ...]
    """Ticked, or painted: whoever paints a class says that it is there."""
    masks: tuple[SavedMask, ...]
    refused: tuple[str, ...]
    """Regions and tags that cannot be used, in words; where a mask is among them, the masks are not whole."""
    lacks_masks: bool = False
    has_ticked: bool = False
    lead_time_s: float | None = None
    """Seconds the editor was open for it, idle ones included; None where Label Studio does not say."""
    doubtful_frames: frozenset[int] = frozenset()
    """Frames with a mask that cannot be read: what is left of them is not all that was painted."""
    removed: tuple[tuple[str, int], ...] = ()
    """(label, frame) of proposed masks that were deleted in it."""

    @property
    def painted(self) -> frozenset[str]:
        """The labels that have a usable mask."""
        return frozenset(mask.label for mask in self.masks)

    @property
    def frames(self) -> tuple[int, ...]:
        """The frames that have a usable mask, ascending."""
        return tuple(sorted({mask.frame_index for mask in self.masks}))

    def on_frame(self, frame_index: int) -> dict[str, Mask]:
        """Label -> the union of its masks there, (H, W) bool; labels in the order of their first mask."""
        found: dict[str, Mask] = {}
        for saved in self.masks:
            if saved.frame_index == frame_index:
                known = found.get(saved.label)
                found[saved.label] = saved.mask if known is None else known | saved.mask
        return found


@dataclass(frozen=True)
class TaskWork:
    """What people saved in one task; ``opinions`` in the order they were saved."""

    task_id: int
    opinions: tuple[Opinion, ...]
    cancelled: int
    raw: tuple[dict[str, Any], ...] = field(repr=False)
    """Every annotation as Label Studio holds it, cancelled ones too, without what changes by itself."""

    @property
    def tags(self) -> frozenset[str]:
        """What anyone says is in the picture: a class that only one of two people saw must not become
        background."""
        return frozenset(tag for opinion in self.opinions for tag in opinion.tags)

    @property
    def mask_opinion(self) -> Opinion | None:
        """Whose masks count: those starred as ground truth, else those saved last."""
        painted = [o for o in self.opinions if o.masks or o.lacks_masks]
        return max(painted, key=lambda o: (o.is_ground_truth, o.saved_at, o.annotation_id), default=None)

    def agreement(self) -> dict[str, float]:
        """Label -> the lowest IoU of another opinion's mask with the one that counts, over all frames."""
        found: dict[str, float] = {}
        for (label, _), value in self.agreement_by_frame().items():
            found[label] = min(value, found.get(label, 1.0))
        return found

    def agreement_by_frame(self) -> dict[tuple[str, int], float]:
        """(label, frame) -> the lowest IoU of another opinion's mask there with the one that counts.

        0 where only one of them has a mask; nothing where there is but one opinion with masks.
        """
        chosen = self.mask_opinion
        others = [o for o in self.opinions if o is not chosen and o.masks]
        if chosen is None or not others:
            return {}
        frames = sorted({frame for o in (chosen, *others) for frame in o.frames})
        found = {
            (label, frame): value
            for frame in frames
            for label, value in _lowest(chosen.on_frame(frame), [o.on_frame(frame) for o in others]).items()
        }
        return dict(sorted(found.items()))


def read_work(
    task: Mapping[str, Any],
    config: LabelConfig,
    size_hw: tuple[int, int],
    machine: Mapping[str, Collection[str]] | None = None,
    *,
    n_frames: int = 1,
    cells: Sequence[TaskCell] = (),
) -> TaskWork:
    """The work in ``task`` as Label Studio's API gives it, with its annotations and predictions.

    ``size_hw`` is the frames' real size: masks made for another one are refused, as are those on a frame
    that is none of ``n_frames``. ``machine`` holds the digests of masks that were shown to annotators, by
    region id, ``cells`` the pixels that jobs of this task still hold; its own predictions count as well.
    """
    annotations = _objects(task.get("annotations"))
    proposals = Proposals(_objects(task.get("predictions")), config, n_frames, size_hw, machine or {}, cells)
    reader = _Reader(config, n_frames, size_hw, proposals)
    counting = [a for a in annotations if not a.get("was_cancelled") and isinstance(a.get("result"), list)]
    return TaskWork(
        int(task["id"]),
        tuple(sorted(map(reader.opinion, counting), key=lambda o: (o.saved_at, o.annotation_id))),
        sum(bool(a.get("was_cancelled")) for a in annotations),
        tuple(sorted((_raw(a) for a in annotations), key=lambda a: int(a["id"] or 0))),
    )


@dataclass(frozen=True)
class _Reader:
    """Reads annotations of one task. Regions are decoded and packed one by one: a clip holds hundreds."""

    config: LabelConfig
    n_frames: int
    size_hw: tuple[int, int]
    proposals: Proposals

    def opinion(self, annotation: Mapping[str, Any]) -> Opinion:
        masks, refused = self._masks(annotation)
        ticked = read_tags(annotation["result"], self.config)
        meant = {label for item, _ in refused for label in _labels(item)}
        tags = {*ticked.names, *(m.label for m in masks), *meant}
        unknown = [f"tag {name!r} is no label of the brush, so it is no class" for name in ticked.unknown]
        kept = {mask.region_id for mask in masks} | {str(item.get("id")) for item, _ in refused}
        return Opinion(
            int(annotation.get("id") or 0),
            _user(annotation.get("completed_by")),
            _saved_at(annotation),
            bool(annotation.get("ground_truth")),
            tuple(label for label in self.config.objects if label in tags),
            masks,
            (*(str(refusal) for _, refusal in refused), *unknown),
            bool(refused),
            bool(ticked.names),
            _seconds(annotation.get("lead_time")),
            frozenset(self._doubtful(refused)),
            self.proposals.removed(annotation.get("parent_prediction"), kept),
        )

    def _masks(
        self, annotation: Mapping[str, Any]
    ) -> tuple[tuple[SavedMask, ...], list[tuple[dict[str, Any], Refusal]]]:
        """Usable ones, and refused results. The same id again: the later one is what the editor shows."""
        masks: dict[str, list[SavedMask]] = {}
        refused: list[tuple[dict[str, Any], Refusal]] = []
        saved_at = _saved_at(annotation)
        for item in _objects(annotation["result"]):
            regions, refusals = read_masks([item], self.config, self.n_frames, self.size_hw)
            refused += [(item, refusal) for refusal in refusals]
            if regions:  # several labels: the same region once for each
                told = str(item.get("origin") or "")
                masks[regions[0].id] = [self._saved(region, told, saved_at) for region in regions]
        return tuple(mask for of_item in masks.values() for mask in of_item), refused

    def _saved(self, region: Region, told: str, saved_at: str) -> SavedMask:
        judged = self.proposals.judge(region, told, saved_at)
        return SavedMask(
            *(region.id, region.object_id, region.frame_index, self.size_hw, region.digest),
            *(judged.origin, judged.proposed_by, pack(region.mask), judged.iou),
        )

    def _doubtful(self, refused: Sequence[tuple[Mapping[str, Any], Refusal]]) -> Iterator[int]:
        """The frames of refused masks; a label that the project gave up leaves no doubt about the others."""
        for item, _ in refused:
            frame, labels = item.get("item_index", 0), _labels(item)
            is_known = not labels or any(label in self.config.objects for label in labels)
            if is_known and isinstance(frame, int) and 0 <= frame < self.n_frames:
                yield frame


def _lowest(mine: Mapping[str, Mask], others: Sequence[Mapping[str, Mask]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for theirs in others:
        for label in mine.keys() | theirs.keys():
            both = mine.get(label), theirs.get(label)
            value = 0.0 if both[0] is None or both[1] is None else iou(both[0], both[1])
            found[label] = min(value, found.get(label, 1.0))
    return found


def _labels(item: Mapping[str, Any]) -> list[str]:
    """The brush labels that a result names, usable or not."""
    value = item.get("value")
    named = value.get(_LABELS) if isinstance(value, Mapping) else None
    return list(dict.fromkeys(map(str, named))) if isinstance(named, list) else []


def _seconds(lead_time: object) -> float | None:
    usable = isinstance(lead_time, int | float) and not isinstance(lead_time, bool)
    return float(lead_time) if usable and isfinite(lead_time) and lead_time >= 0 else None  # type: ignore[arg-type,operator]


def _saved_at(annotation: Mapping[str, Any]) -> str:
    return str(annotation.get("updated_at") or annotation.get("created_at") or "")


def _user(completed_by: object) -> str:
    """Label Studio gives a number, or an object with an address."""
    if isinstance(completed_by, Mapping):
        return str(completed_by.get("email") or completed_by.get("id") or "")
    return "" if completed_by is None else str(completed_by)


def _raw(annotation: Mapping[str, Any]) -> dict[str, Any]:
    raw = {name: annotation.get(name) for name in _RAW}
    return {**raw, "completed_by": _user(annotation.get("completed_by"))}


def _objects(items: object) -> Sequence[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
