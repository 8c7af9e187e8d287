"""From a task's saved work to the wish "make masks of these tags".

Tags come from the saved result (draft or annotation), else from the task's data. Masks that a person drew or
changed go along, so that nothing is put in their place; a mask whose pixels a machine made, and nobody
touched, does not count as one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backends.anchors import FrameFiles
from backends.core.errors import BadInput
from backends.core.images import image_size
from backends.core.types import BoxPrompt, MaskPrompt
from backends.labelstudio.label_config import LabelConfig, refuse_untaggable
from backends.labelstudio.regions import Region, read_masks, unite
from backends.labelstudio.tags import Tags, read_tags, sorted_tags, tags_in_data
from backends.ledger import Ledger
from backends.notices import Notices
from backends.queues import PseudoLabelRequest


class NothingTagged(BadInput):
    """Nobody ticked a tag in this task yet."""


@dataclass(frozen=True)
class TagWork:
    """One task with the saved result to read tags from; ``boxes`` were dragged just now."""

    project_id: int
    task_id: int
    data: Mapping[str, Any]
    config: LabelConfig
    result: Sequence[Mapping[str, Any]]
    boxes: tuple[BoxPrompt, ...] = ()
    is_awaited: bool = False


@dataclass(frozen=True)
class TagWishes:
    """Reads a task's work into a PseudoLabelRequest."""

    ledger: Ledger
    notices: Notices
    files: FrameFiles
    served: Callable[[int], str]
    """The version that is served to a project; raises SetupFault when there is none."""
    max_pixels: int

    def request(self, work: TagWork) -> tuple[PseudoLabelRequest, list[Region]]:
        """The masks that this work asks for, and every region that was read.

        Raises NothingTagged without a tag, BadInput when a person drew every tagged class, BadMedia for an
        image that cannot be read, BadLabelConfig for a configuration that cannot work, SetupFault without a
        model.
        """
        refuse_untaggable(work.config)
        [reference] = work.config.frame_refs(work.data)
        size_hw = image_size(self.files.path(reference), max_pixels=self.max_pixels)
        regions, refusals = read_masks(work.result, work.config, 1, size_hw)
        for refusal in refusals[:5]:
            self.notices.add("warning", f"Left out: {refusal}.", work.task_id)
        drawn = drawn_masks(regions, self.ledger.machine_digests(work.task_id))
        tags = self._tags(work)
        if not tags:
            raise NothingTagged(_nothing_tagged(work.config))
        asked = {box.object_id for box in work.boxes}
        request = PseudoLabelRequest(
            project_id=work.project_id,
            task_id=work.task_id,
            image_ref=reference,
            size_hw=size_hw,
            tags=tags,
            model_version=self.served(work.project_id),
            boxes=work.boxes,
            drawn=tuple(mask for mask in drawn if mask.object_id not in asked),
            is_awaited=work.is_awaited,
        )
        return request, regions

    def _tags(self, work: TagWork) -> tuple[str, ...]:
        """Ticked tags and the classes of boxes; unknown ones are told, the others go on."""
        found = read_tags(work.result, work.config)
        if not found.names and not found.unknown:
            found = tags_in_data(work.data, work.config)
        if found.unknown:
            self.notices.add("warning", _unknown(found, work.config), work.task_id)
        boxed = [box.object_id for box in work.boxes]
        tags = sorted_tags([*found.names, *boxed], work.config).names
        if len(tags) > 2 and len(tags) == len(work.config.objects):
            words = f"all {len(tags)} tags are ticked, which says little about where each class is"
            self.notices.add("warning", f"Make masks: {words}; tick only what is there.", work.task_id)
        return tags


def drawn_masks(regions: Sequence[Region], machine: Mapping[str, set[str]]) -> list[MaskPrompt]:
    """One prompt for each class of which a person drew or changed at least one region: all its regions.

    Digests are compared across region ids: the editor may give a copied region another id.
    """
    known = set().union(*machine.values())
    touched = {region.object_id for region in regions if region.digest not in known}
    masks = unite(region for region in regions if region.object_id in touched)
    return [MaskPrompt(name, 0, mask) for (name, _), mask in sorted(masks.items())]


def _nothing_tagged(config: LabelConfig) -> str:
    some = ", ".join(config.objects[:4]) + (", \u2026" if len(config.objects) > 4 else "")
    return f"no tag is ticked; tick what is in the picture ({some}), then press Make masks"


def _unknown(found: Tags, config: LabelConfig) -> str:
    named = ", ".join(map(repr, found.unknown))
    known = ", ".join(map(repr, config.objects)) or "none"
    return f"No mask can be made for {named}: not among the labels of the brush ({known})."
