"""Videos whose truth is known on every frame, and the clips that are cut of them.

A video is named as its data name it, or ``NAME:FROM-TO`` for some of its frames: those parts are videos of
their own. Of labelled footage only the labelled frames are taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from backends.core.errors import BadInput
from backends.core.frames import FolderFrames
from backends.core.images import image_size
from backends.core.types import Clip, Mask

_PART = re.compile(r"(.+):(\d+)-(\d+)")
_LEAST = 3  # frames of a clip: the metric leaves out the first and the last one

Truth = Callable[[int], Mapping[str, Mask]]
"""Frame -> label -> (H, W) bool; pixels of no label belong to nothing, or nobody knows."""


@dataclass(frozen=True)
class TrueClip:
    """Frames in order of time; ``truth`` gives a mask for each of ``labels`` that there is something of."""

    name: str
    """``bus-001``: the second clip of the video bus."""
    video: str
    paths: tuple[Path, ...]
    labels: tuple[str, ...]
    truth: Truth
    is_followed: bool
    """Objects that are given on the first frame; else whole scenes, of which nothing is given."""

    @cached_property
    def clip(self) -> Clip:
        """The frames, decoded when they are asked for."""
        size_hw = image_size(self.paths[0])
        return Clip(
            self.name,
            FolderFrames(self.paths, size_hw=size_hw),
            size_hw,
            tuple(path.stem for path in self.paths),
        )

    @property
    def open_frames(self) -> range:
        """The frames that may be corrected: of followed objects neither the given one nor the last."""
        return range(1, len(self.paths) - 1) if self.is_followed else range(len(self.paths))

    def masks(self, frame_index: int) -> dict[str, Mask]:
        """Every label's true mask on a frame; all False where there is nothing of it."""
        known = self.truth(frame_index)
        nothing = np.zeros(self.clip.size_hw, np.bool_)
        return {label: known.get(label, nothing) for label in self.labels}


def open_videos(algorithm: str, data: Path, split: str, wanted: Sequence[str], every: int) -> list[TrueClip]:
    """The wanted videos whole, every ``every``-th frame. Raises BadInput for what is not there."""
    if every < 1:
        raise BadInput(f"--every {every}: wants 1 (all frames) or more")
    if algorithm == "video_object":
        return [_object_video(data, text, every) for text in wanted]
    if algorithm == "video_semantic":
        return _scene_videos(data, split, wanted, every)
    raise BadInput(f"{algorithm!r} cannot be simulated; known: video_object, video_semantic")


def cut(video: TrueClip, count: int) -> list[TrueClip]:
    """``count`` clips one after the other, as nearly equally long as can be.

    A clip of objects begins where one of them is to be seen, and follows those that are. Raises BadInput
    for a video that is too short, or shows none of them.
    """
    bounds = [round(len(video.paths) * part / count) for part in range(count + 1)]
    return [
        _begun(_part(video, first, stop, f"{video.video}-{number:03d}"))
        for number, (first, stop) in enumerate(pairwise(bounds))
    ]


def refuse_shared(loop: Sequence[TrueClip], test: Sequence[TrueClip]) -> None:
    """Raise BadInput when a frame is in two videos: what is tested was never trained on."""
    owner: dict[Path, TrueClip] = {}
    for video in (*loop, *test):
        for path in video.paths:
            if (other := owner.setdefault(path, video)) is not video:
                raise BadInput(
                    f"frame {path.name} is in {other.video!r} and in {video.video!r}; every frame is of one "
                    "video, to label or to test on"
                )


def _object_video(data: Path, text: str, every: int) -> TrueClip:
    from pipelines.media import davis

    name, first, stop = _named(text)
    [name] = davis.choose(data, [name])
    sequence = davis.open_sequence(data, name)
    names = {number: f"object {number}" for number in sequence.objects}

    def truth(frame_index: int) -> dict[str, Mask]:
        found = sequence.truth(frame_index)
        return {names[number]: mask for number, mask in found.items() if mask.any()}

    frames = sequence.clip.frames
    assert isinstance(frames, FolderFrames)
    whole = TrueClip(name, name, frames.paths, tuple(names.values()), truth, is_followed=True)
    return _chosen(whole, text, first, stop, every)


def _scene_videos(data: Path, split: str, wanted: Sequence[str], every: int) -> list[TrueClip]:
    from backends.video_semantic.loaders import open_scenes

    scenes = open_scenes(data, split)
    known = {part.name: number for number, part in enumerate(scenes.footage)}

    def video(text: str) -> TrueClip:
        name, first, stop = _named(text)
        if name not in known:
            raise BadInput(f"{data} has no footage {name!r} in {split}; it has {', '.join(known)}")
        number = known[name]
        part = scenes.footage[number]
        places = sorted(part.labels)

        def truth(frame_index: int) -> dict[str, Mask]:
            labels = scenes.labels(number, places[frame_index])
            shown = {i: label for i, label in enumerate(scenes.classes) if (labels == i).any()}
            return {label: np.asarray(labels == i, np.bool_) for i, label in shown.items()}

        paths = tuple(part.frames[place] for place in places)
        whole = TrueClip(name, name, paths, scenes.classes, truth, is_followed=False)
        return _chosen(whole, text, first, stop, every)

    return [video(text) for text in wanted]


def _named(text: str) -> tuple[str, int, int | None]:
    found = _PART.fullmatch(text)
    return (found[1], int(found[2]), int(found[3])) if found else (text, 0, None)


def _chosen(whole: TrueClip, text: str, first: int, stop: int | None, every: int) -> TrueClip:
    end = len(whole.paths) if stop is None else stop
    if not first < end <= len(whole.paths):
        raise BadInput(f"{text!r}: {whole.name!r} has {len(whole.paths)} frames, 0-{len(whole.paths)}")
    name = whole.name if stop is None else f"{whole.name}.{first}-{end}"
    places = range(first, end, every)
    paths, truth = tuple(whole.paths[place] for place in places), whole.truth
    return replace(whole, name=name, video=name, paths=paths, truth=lambda index: truth(places[index]))


def _part(video: TrueClip, first: int, stop: int, name: str) -> TrueClip:
    truth = video.truth
    return replace(video, name=name, paths=video.paths[first:stop], truth=lambda index: truth(first + index))


def _begun(clip: TrueClip) -> TrueClip:
    if clip.is_followed:
        first = next(_visible(clip), None)
        if first is None:
            raise BadInput(f"{clip.name}: no object is to be seen on its {len(clip.paths)} frames")
        clip = _part(clip, first, len(clip.paths), clip.name)
        shown = clip.truth(0)
        clip = replace(clip, labels=tuple(label for label in clip.labels if label in shown))
    if len(clip.paths) < _LEAST:
        raise BadInput(
            f"{clip.name}: {len(clip.paths)} frames; a clip wants {_LEAST} or more: fewer rounds, a lower "
            "--every or a longer video"
        )
    return clip


def _visible(clip: TrueClip) -> Iterator[int]:
    return (index for index in range(len(clip.paths)) if clip.truth(index))
