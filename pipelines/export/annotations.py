"""One task of Label Studio as the work people saved in it: opinions with tags and masks, and whose they are.

Knows Label Studio's words and no folder. Who is believed where two people worked on one task is decided here
once (:attr:`TaskWork.mask_opinion`, :attr:`TaskWork.tags`); everything anyone saved stays in ``opinions``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from backends.core.masks import iou, pack, unpack
from backends.core.types import Mask
from backends.labelstudio.label_config import LabelConfig
from backends.labelstudio.regions import Region, read_masks, unite
from backends.labelstudio.tags import read_tags

Origin = Literal["painted", "corrected", "accepted"]
"""painted: by hand · corrected: a model's proposal that a person changed · accepted: one left as it was."""

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
        """Label -> the lowest IoU of another opinion's mask with the one that counts; masks only."""
        chosen = self.mask_opinion
        others = [o for o in self.opinions if o is not chosen and o.masks]
        if chosen is None or not others:
            return {}
        mine = _united(chosen)
        found: dict[str, float] = {}
        for theirs in map(_united, others):
            for label in mine.keys() | theirs.keys():
                both = mine.get(label), theirs.get(label)
                value = 0.0 if both[0] is None or both[1] is None else iou(both[0], both[1])
                found[label] = min(value, found.get(label, 1.0))
        return dict(sorted(found.items()))


def read_work(
    task: Mapping[str, Any],
    config: LabelConfig,
    size_hw: tuple[int, int],
    machine: Mapping[str, Collection[str]] | None = None,
) -> TaskWork:
    """The work in ``task`` as Label Studio's API gives it, with its annotations and predictions.

    ``size_hw`` is the picture's real size: masks made for another one are refused. ``machine`` holds the
    digests of masks that were shown to annotators, by region id; the task's own predictions count as well.
    """
    annotations = _objects(task.get("annotations"))
    proposals = _Proposals(task, config, size_hw, machine or {})
    counting = [a for a in annotations if not a.get("was_cancelled") and isinstance(a.get("result"), list)]
    opinions = [_opinion(a, config, size_hw, proposals) for a in counting]
    return TaskWork(
        int(task["id"]),
        tuple(sorted(opinions, key=lambda o: (o.saved_at, o.annotation_id))),
        sum(bool(a.get("was_cancelled")) for a in annotations),
        tuple(sorted((_raw(a) for a in annotations), key=lambda a: int(a["id"] or 0))),
    )


class _Proposals:
    """Which masks of this task a model made; predictions are decoded only where a region has their id."""

    def __init__(
        self,
        task: Mapping[str, Any],
        config: LabelConfig,
        size_hw: tuple[int, int],
        machine: Mapping[str, Collection[str]],
    ) -> None:
        self._config, self._size_hw, self._machine = config, size_hw, machine
        self._items: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        for prediction in _objects(task.get("predictions")):
            version = str(prediction.get("model_version") or "")
            for item in _objects(prediction.get("result")):
                self._items.setdefault(str(item.get("id")), []).append((version, item))

    def judge(self, region: Region, told: str) -> tuple[Origin, str]:
        """``told`` is the editor's own word in the region, for proposals that are gone by now."""
        made = {**self._predicted(region.id)}
        for digest in self._machine.get(region.id, ()):
            made.setdefault(digest, "")
        if region.digest in made:
            return "accepted", made[region.digest]
        if made:
            return "corrected", next((version for version in made.values() if version), "")
        if told.startswith("prediction"):
            return ("corrected" if told == "prediction-changed" else "accepted"), ""
        return "painted", ""

    def _predicted(self, region_id: str) -> dict[str, str]:
        """Digest -> model version of the predicted masks of this id."""
        found: dict[str, str] = {}
        for version, item in self._items.get(region_id, ()):
            regions, _ = read_masks([item], self._config, 1, self._size_hw)
            found.update({region.digest: version for region in regions})
        return found


def _opinion(
    annotation: Mapping[str, Any], config: LabelConfig, size_hw: tuple[int, int], proposals: _Proposals
) -> Opinion:
    result = annotation["result"]
    regions, refusals = read_masks(result, config, 1, size_hw)
    ticked = read_tags(result, config)
    by_id = {str(item.get("id")): item for item in _objects(result) if item.get("type") == "brushlabels"}
    masks = [_saved(region, proposals, by_id.get(region.id, {})) for region in regions]
    refused_labels = _labels([by_id[r.region_id] for r in refusals if r.region_id in by_id])
    tags = {*ticked.names, *(m.label for m in masks), *(x for x in refused_labels if x in config.objects)}
    unknown = [f"tag {name!r} is no label of the brush, so it is no class" for name in ticked.unknown]
    return Opinion(
        int(annotation.get("id") or 0),
        _user(annotation.get("completed_by")),
        str(annotation.get("updated_at") or annotation.get("created_at") or ""),
        bool(annotation.get("ground_truth")),
        tuple(label for label in config.objects if label in tags),
        tuple(masks),
        (*map(str, refusals), *unknown),
        bool(refusals),
        bool(ticked.names),
    )


def _saved(region: Region, proposals: _Proposals, item: Mapping[str, Any]) -> SavedMask:
    origin, version = proposals.judge(region, str(item.get("origin") or ""))
    height, width = region.mask.shape
    return SavedMask(
        region.id,
        region.object_id,
        region.frame_index,
        (height, width),
        region.digest,
        origin,
        version,
        pack(region.mask),
    )


def _united(opinion: Opinion) -> dict[str, Mask]:
    regions = [Region(m.region_id, "", "", m.label, 0, m.mask) for m in opinion.masks]
    return {label: mask for (label, _), mask in unite(regions).items()}


def _labels(items: Iterable[Mapping[str, Any]]) -> set[str]:
    """The brush labels that these results name, usable or not."""
    found: set[str] = set()
    for item in items:
        value = item.get("value")
        named = value.get("brushlabels") if isinstance(value, Mapping) else None
        found |= {str(label) for label in named} if isinstance(named, list) else set()
    return found


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
