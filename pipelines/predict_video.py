"""Whole scenes over plain files: a folder of frames in, a label map per frame and its consistency out.

Frames are answered in name order, each with the frames before it at hand. A frame that cannot be read is told
and left out; the others go on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from backends.core.errors import BadInput, BadMedia
from backends.core.frames import frame_paths
from backends.core.images import MAX_PIXELS, open_image, read_index_mask
from backends.core.types import Image
from backends.video_semantic.consistency import SMALLEST, Agreement, Consistency
from backends.video_semantic.reader import Answer, Labels, resized_labels
from pipelines.atomic import write_json
from pipelines.mask_folder import sha256
from pipelines.media.palette import index_png
from pipelines.out_folder import check_out, write_names
from pipelines.predict_video_record import Done, Record, digest_of, open_record
from pipelines.progress import Track, quiet

CLASSES, CONSISTENCY = "classes.json", "consistency.json"


class Reader(Protocol):
    """What is asked of ``backends.video_semantic.reader.ClipReader``."""

    classes: tuple[str, ...]
    reach: int

    def reset(self) -> None: ...

    def reduced(self, image: Image) -> Image: ...

    def push(self, image: Image) -> Answer: ...


@dataclass
class Outcome:
    """What became of the frames; ``report`` is what ``consistency.json`` holds."""

    made: int = 0
    kept: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)


def predict_video(
    load: Callable[[], tuple[Reader, str]],
    frames: Path,
    out: Path,
    *,
    unrelated: bool = False,
    progress: Track = quiet,
    max_pixels: int = MAX_PIXELS,
) -> Outcome:
    """Answer every frame of a folder; ``load`` gives the reader and its version.

    Goes on where an earlier call stopped. ``unrelated``: stills, of which none is looked at for another.
    Raises BadInput when nothing at all can be done, before anything is written.
    """
    paths = frame_paths(frames)
    check_out(out, {"--frames": frames})
    reader, version = load()
    run = _Run(reader, open_record(out, version), unrelated, max_pixels)
    write_names(out / CLASSES, {str(number): name for number, name in enumerate(reader.classes)})
    complete = False
    try:
        for path in progress(paths, total=len(paths), label="predict-video"):
            run.frame(path)
        complete = True
    finally:
        run.outcome.report = run.report(complete=complete)
        write_json(out / CONSISTENCY, run.outcome.report)
    return run.outcome


@dataclass(frozen=True)
class _Seen:
    """A frame that was read: its file's digest and what the network saw of it."""

    digest: str
    small: Image


@dataclass
class _Run:
    reader: Reader
    record: Record
    unrelated: bool
    max_pixels: int
    outcome: Outcome = field(default_factory=Outcome)
    laps_ms: list[float] = field(default_factory=list)
    frames: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # one frame at least: whether a scene begins is told from the frame before
        self.window: deque[_Seen] = deque(maxlen=max(1, self.reader.reach))
        self.steady = Consistency(len(self.reader.classes))
        self.is_current = False  # the reader has seen the window
        self.before: tuple[Image, Labels] | None = None

    def frame(self, path: Path) -> None:
        """Read, answer and write one frame; what cannot be used is noted."""
        before, self.before = self.before, None
        try:
            image = open_image(path, max_pixels=self.max_pixels)
            seen = _Seen(_file_digest(path), self.reader.reduced(image))
        except BadInput as error:
            self.outcome.refused[path.stem] = str(error)
            return
        try:
            entry, labels = self._answered(path, seen.digest, image)
        except BadInput as error:
            self.outcome.refused[path.stem] = str(error)
            self.is_current = False
            return
        finally:
            self.window.append(seen)
        small = seen.small
        self.before = small, resized_labels(labels, (small.shape[0], small.shape[1]))
        agreement = None if entry.opens or before is None else self._compare(before)
        self.frames.append(self._told(entry, image, agreement))

    def _answered(self, path: Path, digest: str, image: Image) -> tuple[Done, Labels]:
        name = path.stem
        in_reach = [] if self.unrelated else [frame.digest for frame in self.window]
        seen = digest_of([*in_reach, digest], {"unrelated": self.unrelated})
        if (found := self.record.finished(name, seen)) is not None:
            self.outcome.kept += 1
            self.is_current = False
            return found, read_index_mask(self.record.mask_path(name), max_pixels=self.max_pixels)
        if self.record.is_foreign(name):
            raise BadInput(
                f"{self.record.mask_path(name)} was changed or was there before; it is left alone, "
                "move it away for a new one"
            )
        started = time.perf_counter()
        try:
            self._catch_up()
            answer = self.reader.push(image)
        except BadMedia as error:
            raise BadMedia(f"{path}: {error}") from error
        self.laps_ms.append(1000 * (time.perf_counter() - started))
        self.is_current = True
        png = index_png(answer.labels)
        entry = Done(name, seen, sha256(png), answer.opens, self._by_name(answer.confidence, 1))
        self.record.write(entry, png)
        self.outcome.made += 1
        return entry, answer.labels

    def _catch_up(self) -> None:
        """The reader has to have seen exactly what is in reach, also behind frames that were there."""
        if self.is_current and not self.unrelated:
            return
        self.reader.reset()
        for seen in () if self.unrelated else tuple(self.window):
            self.reader.push(seen.small)

    def _compare(self, before: tuple[Image, Labels]) -> Agreement | None:
        assert self.before is not None
        (image, labels), (following, later) = before, self.before
        if image.shape != following.shape or min(image.shape[:2]) < SMALLEST:
            return None
        return self.steady.add(image, following, labels, later)

    def _told(self, entry: Done, image: Image, agreement: Agreement | None) -> dict[str, Any]:
        told: dict[str, Any] = {
            "name": entry.name,
            "size_hw": list(image.shape[:2]),
            "opens_scene": entry.opens,
            "temporal_consistency": None,
            "temporal_consistency_occ": None,
            "confidence": entry.confidence,
        }
        if agreement is not None:
            told["temporal_consistency"] = _mean(agreement.per_class)
            told["temporal_consistency_occ"] = _mean(agreement.per_class_occ)
            told["per_class"] = self._by_name(agreement.per_class, 100)
            told["per_class_occ"] = self._by_name(agreement.per_class_occ, 100)
        return told

    def report(self, *, complete: bool) -> dict[str, Any]:
        """What ``consistency.json`` holds; shares in percent, null where nothing could be counted."""
        steady, laps = self.steady, sorted(self.laps_ms)
        columns = (steady.per_class, steady.per_class_occ)
        keys = ("temporal_consistency", "temporal_consistency_occ")
        return {
            "version": self.record.version,
            "complete": complete,
            "unrelated": self.unrelated,
            "pairs": steady.pairs,
            "temporal_consistency": _percent(steady.overall),
            "temporal_consistency_occ": _percent(steady.overall_occ),
            "ms_per_frame": round(laps[len(laps) // 2], 3) if laps else None,
            "per_class": {
                name: {key: _percent(float(column[c])) for key, column in zip(keys, columns, strict=True)}
                for c, name in enumerate(self.reader.classes)
            },
            "frames": self.frames,
            "refused": dict(sorted(self.outcome.refused.items())),
        }

    def _by_name(self, values: NDArray[np.float64], scale: int) -> dict[str, float]:
        """Of classes that are there."""
        named = zip(self.reader.classes, values, strict=True)
        return {name: round(scale * float(value), 4) for name, value in named if np.isfinite(value)}


def summary(outcome: Outcome, out: Path) -> list[str]:
    """Lines for people: how many maps, how steady, which frames change most."""
    report = outcome.report
    lines = [f"{outcome.made} label map{'' if outcome.made == 1 else 's'} made in {out}"]
    lines[0] += f", {outcome.kept} were there" if outcome.kept else ""
    lines[0] += f", {len(outcome.refused)} refused" if outcome.refused else ""
    if report["pairs"]:
        whole, seen = report["temporal_consistency"], report["temporal_consistency_occ"]
        lines.append(
            f"temporal consistency {whole:.1f} over {report['pairs']} pairs of neighbours, {seen:.1f} where "
            "both frames see the same (a constant wrong answer is consistent too)"
        )
        compared = [f for f in report["frames"] if f["temporal_consistency"] is not None]
        shaky = sorted(compared, key=lambda f: (f["temporal_consistency"], f["name"]))[:3]
        told = ", ".join(f"{f['name']} ({f['temporal_consistency']:.1f})" for f in shaky)
        lines.append(f"least like the frame before them, look at them first: {told}")
    opened = sum(frame["opens_scene"] for frame in report["frames"])
    if not report["unrelated"] and opened > 2 and 2 * opened > len(report["frames"]):
        lines.append(
            f"note: {opened} frames begin a scene; for stills that do not belong together --unrelated"
        )
    return lines


def refusals(outcome: Outcome, out: Path, *, shown: int = 20) -> list[str]:
    """Lines for people: what was refused and why, the first ``shown``; ``consistency.json`` holds all."""
    told = [f"refused: {name}: {why}" for name, why in sorted(outcome.refused.items())]
    more = len(told) - shown
    return [*told[:shown], f"... and {more} more, all in {out / CONSISTENCY}"] if more > 0 else told


def _file_digest(path: Path) -> str:
    try:
        return sha256(path.read_bytes())
    except OSError as error:
        raise BadMedia(f"{path}: cannot be read ({error.strerror})") from error


def _mean(values: NDArray[np.float64]) -> float | None:
    return _percent(float(np.nanmean(values))) if np.isfinite(values).any() else None


def _percent(share: float) -> float | None:
    return None if np.isnan(share) else round(100 * share, 3)
