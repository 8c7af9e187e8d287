"""How the clips of a project become label maps on disk: one layout per kind of project.

A layout says which frames of a clip teach anything and draws them; what becomes of the clips is decided
elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadInput
from pipelines.export.annotations import Opinion
from pipelines.export.manifest import WHOSE_MASKS
from pipelines.export.project import LabelledClip
from pipelines.export.tasks import TooLittle

IGNORE = 255
MOST_LABELS = 254  # of an index map with a background

LabelMap = NDArray[np.uint8]  # (H, W)


class Layout(Protocol):
    """One kind of project on disk."""

    @property
    def policy(self) -> Mapping[str, str]:
        """What was decided for everyone, a sentence each."""
        ...

    def labelled(self, clip: LabelledClip) -> tuple[int, ...]:
        """The frames that get a label map, ascending; none: the clip is only told of."""
        ...

    def kept(self, clip: LabelledClip) -> tuple[int, ...]:
        """The frames whose pictures are kept."""
        ...

    def label_map(self, clip: LabelledClip, frame_index: int) -> LabelMap:
        """What is where on a labelled frame."""
        ...

    def folders(self) -> tuple[str, str]:
        """Where the pictures and the label maps go."""
        ...

    def index(self, clips: Sequence[LabelledClip], held_out: Sequence[str]) -> tuple[str, Any]:
        """Name and content of the JSON file that says what the numbers mean."""
        ...

    def remarks(self, clip: LabelledClip) -> Iterator[str]:
        """What is lost in drawing the clip."""
        ...


@dataclass(frozen=True)
class Objects:
    """Video objects as DAVIS has them: numbers from 1 in the order of the labels, 0 is background."""

    labels: tuple[str, ...]
    policy: Mapping[str, str] = field(
        default_factory=lambda: {
            "masks": WHOSE_MASKS,
            "frames": "in a clip with masks, a frame without one shows none of its objects",
            "accepted": "a mask that was accepted as a model made it counts like a painted one",
            "overlaps": "where masks overlap, the label later in the configuration is seen",
            "left_out": "frames with a mask that cannot be read are left out, the picture too",
        }
    )

    def __post_init__(self) -> None:
        if len(self.labels) > MOST_LABELS:
            raise BadInput(f"the project has {len(self.labels)} labels; an index map holds {MOST_LABELS}")

    def labelled(self, clip: LabelledClip) -> tuple[int, ...]:
        """Every frame of which all masks are known."""
        return tuple(i for i in range(len(clip.frames)) if i not in _counting(clip).doubtful_frames)

    def kept(self, clip: LabelledClip) -> tuple[int, ...]:
        """The labelled ones: readers of this layout want a mask for each picture."""
        return self.labelled(clip)

    def label_map(self, clip: LabelledClip, frame_index: int) -> LabelMap:
        """(H, W) uint8 numbers of the labels, 0 where there is none."""
        drawn = np.zeros(clip.size_hw, np.uint8)
        masks = _counting(clip).on_frame(frame_index)
        for number, label in enumerate(self.labels, 1):
            if label in masks:
                drawn[masks[label]] = number
        return drawn

    def folders(self) -> tuple[str, str]:
        """As in DAVIS."""
        return "JPEGImages", "Annotations"

    def index(self, clips: Sequence[LabelledClip], held_out: Sequence[str]) -> tuple[str, Any]:
        """clip -> number -> label, of the labels that the clip shows."""
        told = {
            clip.name: {
                str(number): label
                for number, label in enumerate(self.labels, 1)
                if label in _counting(clip).painted
            }
            for clip in clips
        }
        return "objects.json", told

    def remarks(self, clip: LabelledClip) -> Iterator[str]:
        """Overlaps, by pair of labels."""
        frames: dict[tuple[str, str], list[int]] = {}
        opinion = _counting(clip)
        for index in opinion.frames:
            masks = opinion.on_frame(index)
            for pair in combinations([label for label in self.labels if label in masks], 2):
                if np.logical_and(masks[pair[0]], masks[pair[1]]).any():
                    frames.setdefault(pair, []).append(index)
        for (under, over), where in frames.items():
            yield (
                f"{under!r} and {over!r} overlap on {len(where)} frames (first {where[0]}); "
                f"{over!r} is seen there"
            )


@dataclass(frozen=True)
class WholeScenes:
    """A class for every pixel: numbers from 0 in the order of the labels, IGNORE where nobody said."""

    labels: tuple[str, ...]
    policy: Mapping[str, str] = field(
        default_factory=lambda: {
            "masks": WHOSE_MASKS,
            "frames": "labelled are the frames on which a person painted, changed or deleted a mask",
            "accepted": "frames that were accepted as a model made them are told of and teach nothing",
            "pixels": "on a labelled frame accepted masks count too; pixels that nobody labelled are 255",
            "overlaps": "of overlapping masks a person's lies over a model's, the later one over the earlier",
            "left_out": "frames with a mask that cannot be read get no label map",
        }
    )

    def __post_init__(self) -> None:
        if not 2 <= len(self.labels) <= IGNORE:
            raise TooLittle(
                f"the project has {len(self.labels)} classes; whole scenes want 2 to {IGNORE}: add a <Label> "
                "to the BrushLabels for everything that is to be told apart"
            )

    def labelled(self, clip: LabelledClip) -> tuple[int, ...]:
        """The frames where a person did something and something is labelled."""
        opinion = _counting(clip)
        touched = {mask.frame_index for mask in opinion.masks if mask.origin != "accepted"}
        touched |= {frame for _, frame in opinion.removed} & set(opinion.frames)
        return tuple(sorted(touched - opinion.doubtful_frames))

    def kept(self, clip: LabelledClip) -> tuple[int, ...]:
        """All: what is between labelled frames is needed to look back."""
        return tuple(range(len(clip.frames)))

    def label_map(self, clip: LabelledClip, frame_index: int) -> LabelMap:
        """(H, W) uint8 classes, IGNORE where nobody said."""
        drawn = np.full(clip.size_hw, IGNORE, np.uint8)
        saved = [mask for mask in _counting(clip).masks if mask.frame_index == frame_index]
        for mask in sorted(saved, key=lambda mask: mask.origin != "accepted"):
            drawn[mask.mask] = self.labels.index(mask.label)
        return drawn

    def folders(self) -> tuple[str, str]:
        """As ``backends.video_semantic.loaders.snapshot`` reads them."""
        return "frames", "masks"

    def index(self, clips: Sequence[LabelledClip], held_out: Sequence[str]) -> tuple[str, Any]:
        """The classes, and the clips that are not for training."""
        return "classes.json", {"classes": list(self.labels), "val": list(held_out)}

    def remarks(self, clip: LabelledClip) -> Iterator[str]:
        """Nothing is lost that the policy does not tell."""
        return iter(())


def _counting(clip: LabelledClip) -> Opinion:
    opinion = clip.work.mask_opinion
    if opinion is None:
        raise ValueError(f"clip {clip.name} has no masks")
    return opinion
