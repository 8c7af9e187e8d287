"""What a project's saved work says about each model version: how good its proposals were, what they cost.

Pure figures of masks, origins and seconds; nothing here reads a file or knows where the work came from.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import fmean, median, quantiles

from pipelines.export.annotations import Opinion, SavedMask
from pipelines.export.project import LabelledClip

BY_HAND = ""
"""In place of a version: nothing was proposed on the clip."""
UNRECORDED = "unrecorded"
"""In place of a version: something was proposed, and nobody knows any more by which one."""

IDLE_FACTOR = 5.0
"""Seconds per frame beyond so many medians are taken for idle time."""
ENOUGH_TIMES = 3
"""A median of fewer clips tells nothing about who was idle."""
BANDS = (0.5, 0.75, 0.9, 1.0)
"""Where the distribution of IoU is cut: below each of them, and from the last one on."""


@dataclass(frozen=True)
class Spread:
    """Some values: how many, their mean, median and quartiles."""

    count: int
    mean: float
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class ClipFigures:
    """One clip as it was saved; masks are counted by label and frame."""

    name: str
    task_id: int
    saved_at: float  # seconds since the epoch
    version: str
    """The one that proposed most of it, or BY_HAND or UNRECORDED."""
    n_frames: int
    accepted: int
    corrected: int
    painted: int
    removed: int
    """Proposed masks that were deleted; they are none of the final ones."""
    touched_frames: int
    """Frames on which a person painted, changed or deleted something."""
    ious: tuple[tuple[str, float], ...]
    """(version, IoU of proposal and final mask); 0 for what was deleted."""
    proposed: Mapping[str, tuple[int, int, int]]
    """Version -> accepted, corrected and deleted masks of its own."""
    lead_time_s: float | None
    counted_s: float | None = None
    """Of the lead time what was not idle; see :func:`without_idle`."""

    @property
    def masks(self) -> int:
        """The final ones."""
        return self.accepted + self.corrected + self.painted

    @property
    def was_idle(self) -> bool:
        """Some of its time was taken for idle."""
        return None not in (self.lead_time_s, self.counted_s) and self.counted_s != self.lead_time_s


@dataclass(frozen=True)
class VersionFigures:
    """What one version's proposals came to."""

    version: str
    clips: int
    frames: int
    accepted: int
    corrected: int
    painted: int
    """Masks by hand on the clips that it helped most with."""
    removed: int
    iou: Spread | None
    """Of proposals whose pixels are known; a deleted one has 0."""
    bands: tuple[int, ...]
    """How many of them lie below each of BANDS, and how many are at the last."""
    seconds_per_frame: float | None
    """Of all its timed clips together, idle time left out."""
    seconds: Spread | None
    """Per frame, clip by clip."""
    idle_limit_s: float | None
    """Seconds per frame from which on time was idle; None: too few clips to tell."""
    idle_clips: int
    untimed: int
    """Clips without a lead time."""
    corrections: Spread | None
    """Touched frames per clip."""
    first_at: float
    last_at: float

    @property
    def proposals(self) -> int:
        """Masks that it proposed and a person judged."""
        return self.accepted + self.corrected + self.removed

    @property
    def accepted_share(self) -> float | None:
        """Of its proposals those that were left as they were, 0 to 1."""
        return self.accepted / self.proposals if self.proposals else None


def clip_figures(clip: LabelledClip) -> ClipFigures | None:
    """The opinion that counts, in figures; None for a clip without one."""
    opinion = clip.work.mask_opinion
    if opinion is None:
        return None
    version = _helper(opinion)
    origins = Counter(mask.origin for mask in opinion.masks)
    proposed: dict[str, list[int]] = {}
    for mask in opinion.masks:
        if mask.origin != "painted":
            proposed.setdefault(_maker(mask), [0, 0, 0])[mask.origin == "corrected"] += 1
    if opinion.removed:
        proposed.setdefault(version or UNRECORDED, [0, 0, 0])[2] += len(opinion.removed)
    touched = {mask.frame_index for mask in opinion.masks if mask.origin != "accepted"}
    return ClipFigures(
        clip.name,
        clip.work.task_id,
        _seconds(opinion.saved_at),
        version or (UNRECORDED if opinion.removed else BY_HAND),
        len(clip.frames),
        origins["accepted"],
        origins["corrected"],
        origins["painted"],
        len(opinion.removed),
        len(touched | {frame for _, frame in opinion.removed}),
        (*_ious(opinion.masks), *((version or UNRECORDED, 0.0) for _ in opinion.removed)),
        {name: (a, c, r) for name, (a, c, r) in proposed.items()},
        _sensible(opinion.lead_time_s),
    )


def without_idle(clips: Sequence[ClipFigures], factor: float = IDLE_FACTOR) -> list[ClipFigures]:
    """The same clips with ``counted_s``: at most ``factor`` times their version's median per frame.

    Label Studio's clock runs while the page is open, over lunch too. A version with fewer than ENOUGH_TIMES
    timed clips is held to the whole project's median, a project with fewer to none.
    """
    limits = idle_limits(clips, factor)
    return [_counted(clip, limits.get(clip.version)) for clip in clips]


def idle_limits(clips: Sequence[ClipFigures], factor: float = IDLE_FACTOR) -> dict[str, float | None]:
    """Version -> seconds per frame from which on time is idle, or None."""
    every = [rate for clip in clips if (rate := _rate(clip)) is not None]
    limits: dict[str, float | None] = {}
    for version in {clip.version for clip in clips}:
        own = [rate for c in clips if c.version == version and (rate := _rate(c)) is not None]
        basis = own if len(own) >= ENOUGH_TIMES else every
        limits[version] = factor * median(basis) if len(basis) >= ENOUGH_TIMES else None
    return limits


def by_version(clips: Sequence[ClipFigures], factor: float = IDLE_FACTOR) -> list[VersionFigures]:
    """The figures of each version, in the order in which their first clips were saved."""
    limits = idle_limits(clips, factor)
    counted = without_idle(clips, factor)
    versions = {name for clip in clips for name in (clip.version, *clip.proposed)}
    found = [_figures(version, counted, limits.get(version)) for version in versions]
    return sorted(found, key=lambda figures: (figures.first_at, figures.version))


def spread(values: Iterable[float]) -> Spread | None:
    """None of no values."""
    known = sorted(values)
    if not known:
        return None
    low, middle, high = quantiles(known, n=4, method="inclusive") if len(known) > 1 else known * 3
    return Spread(len(known), fmean(known), middle, low, high)


def _figures(version: str, clips: Sequence[ClipFigures], limit: float | None) -> VersionFigures:
    own = [clip for clip in clips if clip.version == version]
    made = [clip.proposed[version] for clip in clips if version in clip.proposed]
    ious = [value for clip in clips for name, value in clip.ious if name == version]
    timed = [clip for clip in own if clip.counted_s is not None]
    seconds, frames = sum(clip.counted_s or 0.0 for clip in timed), sum(clip.n_frames for clip in timed)
    times = [clip.saved_at for clip in clips if clip.version == version or version in clip.proposed]
    return VersionFigures(
        version,
        len(own),
        sum(clip.n_frames for clip in own),
        sum(accepted for accepted, _, _ in made),
        sum(corrected for _, corrected, _ in made),
        sum(clip.painted for clip in own),
        sum(removed for _, _, removed in made),
        spread(ious),
        _banded(ious),
        seconds / frames if frames else None,
        spread((clip.counted_s or 0.0) / clip.n_frames for clip in timed),
        limit,
        sum(clip.was_idle for clip in own),
        len(own) - len(timed),
        spread(float(clip.touched_frames) for clip in own),
        min(times),
        max(times),
    )


def _banded(ious: Sequence[float]) -> tuple[int, ...]:
    below = [sum(value < edge for value in ious) for edge in BANDS]
    return (*(n - before for n, before in zip(below, [0, *below], strict=False)), len(ious) - below[-1])


def _helper(opinion: Opinion) -> str:
    """The version of most proposals that were kept or changed; empty where there is none."""
    makers = Counter(_maker(mask) for mask in opinion.masks if mask.origin != "painted")
    return min(makers, key=lambda name: (-makers[name], name), default="")


def _maker(mask: SavedMask) -> str:
    return mask.proposed_by or UNRECORDED


def _ious(masks: Sequence[SavedMask]) -> Iterable[tuple[str, float]]:
    for mask in masks:
        if mask.origin != "painted" and mask.proposed_iou is not None:
            yield _maker(mask), mask.proposed_iou


def _counted(clip: ClipFigures, limit: float | None) -> ClipFigures:
    if clip.lead_time_s is None:
        return clip
    most = math.inf if limit is None else limit * clip.n_frames
    return replace(clip, counted_s=min(clip.lead_time_s, most))


def _rate(clip: ClipFigures) -> float | None:
    return None if clip.lead_time_s is None else clip.lead_time_s / clip.n_frames


def _sensible(seconds: float | None) -> float | None:
    """A time that somebody can have taken; programs that submit leave none, or nothing."""
    return seconds if seconds is not None and math.isfinite(seconds) and seconds > 0 else None


def _seconds(iso: str) -> float:
    """ISO 8601 -> seconds since the epoch; 0 for what is no time."""
    try:
        return datetime.fromisoformat(iso).timestamp()
    except ValueError:
        return 0.0
