"""Anchors over a clip: which cells have to run again, and the run itself. No ledger, no queue, no files.

A cell is one object on one frame. When a person adds, changes or removes a mask, only the stretch between
that object's neighbouring anchors is stale; every other cell is taken from the earlier run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from backends.core.errors import BadMask
from backends.core.masks import digest
from backends.core.types import Clip, FrameMasks, Mask, MaskPrompt, Segmenter
from pipelines.stopwatch import Stopwatch

AnchorDigests = Mapping[tuple[str, int], str]  # (object_id, frame index) -> digest of the mask

ABSENT_CONFIDENCE = 0.5
"""Of a cell that lies between frames on which the object is known to be out of sight: nobody looked."""


@dataclass(frozen=True)
class Span:
    """The frames ``first <= t <= last`` run together; ``stale`` names the cells whose masks are wanted."""

    first: int
    last: int
    stale: Mapping[str, frozenset[int]]


@dataclass(frozen=True)
class Earlier:
    """A finished run of the same frames with the same model: its anchors and all its frames by index."""

    anchors: AnchorDigests = field(default_factory=dict)
    frames: Mapping[int, FrameMasks] = field(default_factory=dict)


def anchor_digests(anchors: Sequence[MaskPrompt]) -> dict[tuple[str, int], str]:
    """The names of the anchors' masks, for comparison with another run."""
    return {(a.object_id, a.frame_index): digest(a.mask) for a in anchors}


def stale_spans(old: AnchorDigests, new: AnchorDigests, n_frames: int) -> list[Span]:
    """What to run again, in frame order; spans share at most their end frames.

    Between two neighbouring anchors of an object that both stayed as they were, nothing is stale. An object
    without anchors in ``new`` is gone and makes nothing stale. With ``old`` empty everything is stale.
    """
    stale = {name: _stale_frames(name, old, new, n_frames) for name in sorted({name for name, _ in new})}
    intervals = sorted(i for name in stale for i in _intervals(name, old, new, n_frames))
    merged: list[tuple[int, int]] = []
    for first, last in intervals:
        if merged and _touch(merged[-1], (first, last)):
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return [_span(first, last, stale) for first, last in merged]


def propagate(
    segmenter: Segmenter,
    clip: Clip,
    anchors: Sequence[MaskPrompt],
    *,
    earlier: Earlier | None = None,
    finished: Mapping[int, FrameMasks] | None = None,
    watch: Stopwatch | None = None,
) -> Iterator[FrameMasks]:
    """Yield every frame that is not in ``finished``, whole: all objects that have an anchor.

    Frames without a stale cell come first, at no cost. A span that was interrupted goes on from its finished
    frames: their soft masks are the network's state, so the rest is what an undisturbed run gives. A
    segmenter without such state walks the span again; finished frames are not yielded twice. Anchors come
    back bit for bit with confidence 1; another object's mask gives way to them. Raises BadMask when no anchor
    shows anything.
    """
    if not any(anchor.mask.any() for anchor in anchors):
        raise BadMask("every given mask is empty; paint an object on at least one frame")
    finished = finished or {}
    run = _Run(segmenter, clip, anchors, earlier or Earlier(), finished, watch or Stopwatch())
    spans = stale_spans(run.earlier.anchors, anchor_digests(anchors), len(clip))
    waiting = {t for span in spans for frames in span.stale.values() for t in frames}
    for index in range(len(clip)):
        if index not in waiting and index not in finished:
            yield run.assemble(index, {}, {})
    for span in spans:
        if wanted := {t for frames in span.stale.values() for t in frames} - finished.keys():
            yield from run.span(span, wanted)


class _Run:
    """One propagation: the collaborators and the tables that every span reads."""

    def __init__(
        self,
        segmenter: Segmenter,
        clip: Clip,
        anchors: Sequence[MaskPrompt],
        earlier: Earlier,
        finished: Mapping[int, FrameMasks],
        watch: Stopwatch,
    ) -> None:
        self.segmenter, self.clip, self.earlier, self.watch = segmenter, clip, earlier, watch
        self.finished = finished
        self.anchors = {(a.object_id, a.frame_index): a for a in anchors}
        self.objects = sorted({a.object_id for a in anchors})

    def span(self, span: Span, wanted: Collection[int]) -> Iterator[FrameMasks]:
        """The wanted frames of a span, as they are finished."""
        prompts = self._prompts(span)
        if not prompts:
            yield from (self.assemble(t, {}, span.stale) for t in sorted(wanted))
            return
        part = self.clip.part(span.first, span.last + 1)
        for found in self.watch.segment(self.segmenter, part, prompts):
            index = span.first + found.frame_index
            if index in wanted:
                fresh = {n: (m, float(found.confidence.get(n, 0.0))) for n, m in found.masks.items()}
                yield replace(self.assemble(index, fresh, span.stale), soft=found.soft)

    def assemble(
        self, index: int, fresh: Mapping[str, tuple[Mask, float]], stale: Mapping[str, frozenset[int]]
    ) -> FrameMasks:
        """One whole frame: anchors, else fresh cells where stale, else the earlier run's."""
        given = {name: self.anchors[name, index] for name in self.objects if (name, index) in self.anchors}
        masks: dict[str, Mask] = {}
        confidence: dict[str, float] = {}
        for name in self.objects:
            if name in given:
                masks[name], confidence[name] = given[name].mask, 1.0
                continue
            mask, certain = self._cell(name, index, fresh, index in stale.get(name, ()))
            masks[name], confidence[name] = _give_way(mask, given), certain
        return FrameMasks(index, masks, confidence, frozenset(given))

    def _cell(
        self, name: str, index: int, fresh: Mapping[str, tuple[Mask, float]], is_stale: bool
    ) -> tuple[Mask, float]:
        if not is_stale:
            cached = self.earlier.frames[index]
            return cached.masks[name], cached.confidence[name]
        return fresh.get(name, (np.zeros(self.clip.size_hw, np.bool_), ABSENT_CONFIDENCE))

    def _prompts(self, span: Span) -> list[MaskPrompt]:
        """Anchors inside, and the earlier masks of cells that are to stay; frame numbers of the part.

        Objects that are out of sight on all these frames are left out: there is nothing to carry.
        """
        prompts: list[MaskPrompt] = []
        for name in self.objects:
            mine = [p for t in range(span.first, span.last + 1) if (p := self._given(name, t, span))]
            if any(p.mask.any() for p in mine):
                prompts += mine
        return prompts

    def _given(self, name: str, index: int, span: Span) -> MaskPrompt | None:
        at = index - span.first
        if anchor := self.anchors.get((name, index)):
            return MaskPrompt(name, at, anchor.mask)
        done = self.finished.get(index)
        if done is not None and name in done.soft:
            return MaskPrompt(name, at, done.masks[name], is_anchor=False, soft=done.soft[name])
        cached = self.earlier.frames.get(index)
        if cached is None or name not in cached.masks or index in span.stale.get(name, ()):
            return None
        return MaskPrompt(name, at, cached.masks[name], is_anchor=False)


def _frames_of(name: str, anchors: AnchorDigests) -> dict[int, str]:
    return {frame: mark for (owner, frame), mark in anchors.items() if owner == name}


def _intervals(name: str, old: AnchorDigests, new: AnchorDigests, n_frames: int) -> list[tuple[int, int]]:
    """Around each changed anchor of this object: up to its neighbours in either run, or the clip's ends."""
    before, after = _frames_of(name, old), _frames_of(name, new)
    known = sorted(before.keys() | after.keys())
    changed = [t for t in known if before.get(t) != after.get(t)]
    return [
        (max((k for k in known if k < t), default=0), min((k for k in known if k > t), default=n_frames - 1))
        for t in changed
    ]


def _stale_frames(name: str, old: AnchorDigests, new: AnchorDigests, n_frames: int) -> frozenset[int]:
    before, after = _frames_of(name, old), _frames_of(name, new)
    kept = {t for t in after if before.get(t) == after[t]}
    touched = {t for first, last in _intervals(name, old, new, n_frames) for t in range(first, last + 1)}
    return frozenset(touched - kept)


def _touch(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """More than a shared end frame, or the same single frame."""
    return b[0] < a[1] or a == b


def _span(first: int, last: int, stale: Mapping[str, frozenset[int]]) -> Span:
    inside = {name: frozenset(t for t in frames if first <= t <= last) for name, frames in stale.items()}
    return Span(first, last, {name: frames for name, frames in inside.items() if frames})


def _give_way(mask: Mask, given: Mapping[str, MaskPrompt]) -> Mask:
    for anchor in given.values():
        mask = mask & ~anchor.mask
    return mask
