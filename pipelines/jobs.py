"""The functions that tickets name. Each reads its job, calls one function, notes how it ended.

Nothing here raises for a job that went wrong: the ledger gets the sentence for people, the log the rest.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from backends.core.errors import BadInput, Cancelled, MaskLoopError, Superseded, TokenRefused, Unavailable
from backends.core.types import FrameMasks, Frames, Image
from backends.labelstudio.class_names import match_names
from backends.ledger import JobRow, State
from backends.queues.requests import PSEUDO_LABEL
from pipelines.clip_figures import measure
from pipelines.export import export_job
from pipelines.loop import report_job
from pipelines.propagate import Earlier, anchor_digests
from pipelines.propagate import propagate as carry
from pipelines.scene_masks import rest_of, scene_segmenter, shown_or_nothing
from pipelines.stopwatch import Stopwatch
from pipelines.tag_masks import keep_drawn, prompts_of
from pipelines.working.collaborators import Collaborators

log = logging.getLogger(__name__)

_CHECK_S = 0.25
_LONGEST_PAUSE_S = 300.0


def functions(work: Collaborators) -> Mapping[str, Callable[..., None]]:
    """The dotted names a ticket may hold, bound to what they work with. Anything else is refused."""
    return {
        "pipelines.jobs.propagate": partial(propagate, work),
        "pipelines.jobs.label_clip": partial(label_clip, work),
        "pipelines.jobs.pseudo_label": partial(pseudo_label, work),
        "pipelines.jobs.deliver": partial(deliver, work),
        "pipelines.clip_figures.measure": partial(measure, work),
        "pipelines.loop.report_job.make": partial(report_job.make, work),
        "pipelines.export.export_job.make": partial(export_job.make, work),
    }


def propagate(work: Collaborators, job_id: str, generation: int) -> None:
    """Carry a job's anchors over its clip; frame by frame into the ledger. A stale ticket does nothing."""
    _carry_out(work, job_id, generation, _Run.go)


def pseudo_label(work: Collaborators, job_id: str, generation: int) -> None:
    """Turn the tags of a job's image into masks. A stale ticket does nothing."""
    _carry_out(work, job_id, generation, _Run.label)


def label_clip(work: Collaborators, job_id: str, generation: int) -> None:
    """Label every frame of a job's clip; frame by frame into the ledger. A stale ticket does nothing."""
    _carry_out(work, job_id, generation, _Run.label_clip)
    measure(work, job_id)  # behind the delivery, which somebody may wait for


def _carry_out(work: Collaborators, job_id: str, generation: int, do: Callable[[_Run], None]) -> None:
    row = work.ledger.start(job_id, generation, work.worker)
    if row is None:
        log.info("job %s: ticket of generation %d is not wanted any more", job_id, generation)
        return
    run = _Run(work, row)
    try:
        do(run)
    except Superseded as error:
        log.warning("%s; it goes on elsewhere", error)
    except _Stopping:
        work.ledger.give_back(job_id, generation)
    except Cancelled:
        work.ledger.finish_cancelled(job_id, generation, run.network_s)
    except Exception as error:
        run.fail(error)
    except BaseException:  # a second Ctrl-C: the job must not look as if it still ran
        work.ledger.give_back(job_id, generation)
        raise
    else:
        row = work.ledger.finish(job_id, generation, run.network_s)
        work.ledger.forget_states(job_id)
        _deliver_now(work, row)


def deliver(work: Collaborators, job_id: str) -> None:
    """Hand a done job's result to Label Studio; what fails stays in the ledger and is tried again later."""
    _deliver_now(work, work.ledger.job(job_id))


class _Stopping(Exception):  # noqa: N818 - never leaves this module
    """The worker was asked to stop."""


@dataclass
class _Run:
    """One run of one job."""

    work: Collaborators
    row: JobRow
    watch: Stopwatch = field(default_factory=Stopwatch)
    checked_at: float = 0.0

    @property
    def network_s(self) -> float:
        """Seconds inside the segmenter, reading of frames not counted."""
        return sum(self.watch.laps_ms) / 1000

    def go(self) -> None:
        """Every frame that is not finished yet, into the ledger."""
        ledger, row = self.work.ledger, self.row
        anchors = ledger.anchors(row.id)
        finished = {frame.frame_index: frame for frame in ledger.frames(row.id)}
        if len(finished) == row.total:
            return
        clip = self.work.clip(row)
        watched = replace(clip, frames=_WatchedFrames(clip.frames, self.check))
        stream = carry(
            self.work.segmenter(row.model_version),
            watched,
            anchors,
            earlier=self._earlier(),
            finished=finished,
            watch=self.watch,
        )
        for frame in stream:
            self._react(ledger.put_frame(row.id, row.generation, frame, self.network_s))
            finished[frame.frame_index] = frame
        if len(finished) < row.total:
            raise RuntimeError(f"the model left out {row.total - len(finished)} of {row.total} frames")

    def label(self) -> None:
        """The masks of one image's tags, into the ledger; what a person drew stays as it is."""
        ledger, row = self.work.ledger, self.row
        if ledger.frames(row.id):
            return
        clip = self.work.clip(row)
        self.check()
        segmenter = self.work.segmenter(row.model_version)
        drawn = ledger.anchors(row.id)
        for frame in self.watch.segment(segmenter, clip, prompts_of(row.payload)):
            # the same words about fifty pictures of a batch are one message
            about = None if row.kind == PSEUDO_LABEL else row.task_id
            for note in frame.notes:
                self.work.tell("info", f"{note[:1].upper()}{note[1:]}.".replace("..", "."), about)
            kept = keep_drawn(frame, drawn)
            self._react(ledger.put_frame(row.id, row.generation, kept, self.network_s))
        if not ledger.frames(row.id):
            raise RuntimeError("the model gave no masks for this image")

    def label_clip(self) -> None:
        """Every frame that is not finished yet, under the project's labels, into the ledger."""
        ledger, row = self.work.ledger, self.row
        if row.done == row.total:
            return
        segmenter = scene_segmenter(self.work.segmenter(row.model_version))
        names = match_names(segmenter.classes, row.payload["labels"])
        clip = self.work.clip(row)
        watched = replace(clip, frames=_WatchedFrames(clip.frames, self.check))
        if row.done == 0:
            self._say(names.words)
        for frame in rest_of(self.watch, segmenter, watched, row.done):
            self._say(frame.notes)
            kept = shown_or_nothing(names.relabelled(frame), next(iter(row.payload["labels"])), row.size_hw)
            self._react(ledger.put_frame(row.id, row.generation, kept, self.network_s))

    def _say(self, words: Sequence[str]) -> None:
        for text in words:
            self.work.tell("info", f"{text[:1].upper()}{text[1:]}.".replace("..", "."), self.row.task_id)

    def check(self) -> None:
        """Between two frames: stamp the job, and stop when someone wants that. At most 4 times a second."""
        if time.monotonic() - self.checked_at >= _CHECK_S:
            self.checked_at = time.monotonic()
            self._react(self.work.ledger.stamp(self.row.id, self.row.generation))

    def fail(self, error: Exception) -> None:
        """Write what went wrong, in words."""
        if not isinstance(error, MaskLoopError):
            log.exception("job %s failed", self.row.id)
        if self.row.kind == PSEUDO_LABEL:  # one of many images, and nobody waits: the list of jobs is long
            self.work.tell("error", f"No masks were made: {_in_words(error)}.", self.row.task_id)
        try:
            self.work.ledger.fail(self.row.id, self.row.generation, _in_words(error), self.network_s)
        except Superseded as superseded:
            log.warning("%s; it goes on elsewhere", superseded)

    def _react(self, state: State) -> None:
        if state == "cancelling":
            raise Cancelled(f"job {self.row.id} was cancelled")
        if self.work.stopping():
            raise _Stopping

    def _earlier(self) -> Earlier | None:
        """The last finished run of the same frames with the same model."""
        ledger, row = self.work.ledger, self.row
        before = ledger.finished_run(row.task_id, row.model_version)
        if before is None:
            return None
        old, frames = before
        same = old.payload.get("frame_refs") == row.payload.get("frame_refs") and old.size_hw == row.size_hw
        by_index: dict[int, FrameMasks] = {frame.frame_index: frame for frame in frames}
        if not same or len(by_index) < row.total:
            return None
        return Earlier(anchor_digests(ledger.anchors(old.id)), by_index)


@dataclass(frozen=True)
class _WatchedFrames:
    """Frames that let the run look up each time one is read, so that a long first pass can be cancelled."""

    frames: Frames
    check: Callable[[], None]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int, /) -> Image:
        self.check()
        return self.frames[index]


def _deliver_now(work: Collaborators, row: JobRow) -> None:
    if row.state != "done" or row.delivery != "pending":
        return
    if work.ledger.newer_delivery(row):
        work.ledger.note_delivery(row.id, "superseded")
        return
    try:
        left_out = work.sink(row).put(row.task_id, work.ledger.frames(row.id), row.model_version)
    except Unavailable as error:
        work.ledger.note_delivery(row.id, "pending", str(error), time.time() + _pause_s(row, error))
    except BadInput as error:
        work.ledger.note_delivery(row.id, "refused", str(error))
    except Exception as error:
        log.exception("job %s: delivery failed", row.id)
        work.ledger.note_delivery(row.id, "pending", _in_words(error), time.time() + _LONGEST_PAUSE_S)
    else:
        work.ledger.note_delivery(row.id, "delivered", "; ".join(left_out))


def _pause_s(row: JobRow, error: Unavailable) -> float:
    """Twice as long each time, with jitter; a refused token needs a person, so it is not hammered."""
    first = 30.0 if isinstance(error, TokenRefused) else 1.0
    return min(_LONGEST_PAUSE_S, first * 2.0 ** min(row.delivery_attempts, 10)) * random.uniform(0.75, 1.25)


def _in_words(error: Exception) -> str:
    if isinstance(error, MaskLoopError):
        return str(error)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return f"out of memory: use fewer objects, smaller frames or a shorter clip ({error})"
    return f"unexpected {type(error).__name__}: {error}; the worker's log has the details"
