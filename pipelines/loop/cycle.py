"""One cycle: snapshot, candidate, scores, gate, and promotion or a wait for a person's yes.

Every stage is remembered in the run's ``cycle.json`` before the next begins, so a cycle that was killed goes
on with *its* snapshot where it was. Whatever becomes of it, the version that is served stays served until the
pointer is swapped, which is the last thing that happens.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from backends.core.errors import BadInput, Cancelled, MaskLoopError
from backends.loop.folder import Cycle, ProjectFolder
from backends.loop.policy import Policy
from backends.registry import Registry
from backends.settings import Settings
from pipelines.export.snapshot import Snapshot, open_snapshot
from pipelines.export.take import take_snapshot
from pipelines.loop.begin import Beginning, Say, served_to
from pipelines.loop.candidate import register
from pipelines.loop.gate import Decision, enough, gate, refused
from pipelines.loop.plan import Plan, data_of
from pipelines.loop.record import SCORES, WEIGHTS, Record, scores_of
from pipelines.loop.scores import Scores
from pipelines.loop.work import Failed, Nonsense, Report, in_child, silent

LEAST_FREE = 500 * 1024**2
"""Bytes on the disk below which no training begins: weights, a checkpoint of three times their size, logs."""
CHECKPOINT = "checkpoint.safetensors"
_TRIES = 3  # comparisons with a version that is replaced meanwhile

Take = Callable[..., Snapshot]
Work = Callable[[Plan, Settings, Report], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Wishes:
    """How to go about it; ``policy`` None: what the project's file says."""

    why: str = "a person asked"
    fresh: bool = False
    policy: Policy | None = None


@dataclass(frozen=True)
class Outcome:
    """What stands now; ``is_new`` is False where nothing was done because nothing is new."""

    cycle: Cycle
    is_new: bool


def improve(
    project_id: int,
    settings: Settings,
    wishes: Wishes | None = None,
    *,
    report: Report = silent,
    say: Say = print,
    take: Take = take_snapshot,
    work: Work = in_child,
) -> Outcome:
    """Go through a cycle of the project, or on with one that came to no end.

    Raises BadInput (TooLittle) when there is nothing to learn from, Unavailable while another process trains
    the project or Label Studio is away, SetupFault without anything to start from, Failed when memory or disk
    gave out, Cancelled when ``report`` raised it; the same call goes on after the last three.
    """
    wishes, folder = wishes or Wishes(), ProjectFolder(settings.data_dir.resolve(), project_id)
    policy = wishes.policy or folder.policy()
    with folder.alone():
        return _Improvement(Beginning(folder, settings, policy), wishes, report, say, take, work).run()


def in_a_sentence(outcome: Outcome) -> str:
    """What came of it, for a person."""
    cycle = outcome.cycle
    if not outcome.is_new:
        return f"nothing new since run {cycle.name} ({cycle.outcome}); correct and submit more first"
    if cycle.outcome == "promoted":
        return f"{cycle.candidate} is served to project {cycle.project} from the next request on"
    if cycle.outcome == "waiting":
        return (
            f"{cycle.candidate} was accepted and waits for a yes: "
            f"`maskloop promote {cycle.algorithm} {cycle.candidate} --project {cycle.project}`"
        )
    return f"no new version is served: {cycle.against[0] if cycle.against else cycle.error or cycle.outcome}"


@dataclass
class _Improvement:
    beginning: Beginning
    wishes: Wishes
    report: Report
    say: Say
    take: Take
    work: Work

    def run(self) -> Outcome:
        """Find what is unfinished, or begin."""
        folder, begin = self.beginning.folder, self.beginning
        run = None if self.wishes.fresh else begin.unfinished(self.say)
        if run is None:
            self.report(0, 0, "reading the project")
            told = Told(self.report)
            snapshot = self.take(folder.project_id, begin.settings, progress=told, say=self.say)
            if not self.wishes.fresh and (earlier := begin.known(snapshot)) is not None:
                return Outcome(earlier, False)
            run = begin.begin(snapshot, self.wishes.why)
        self._through(Record(run))
        return Outcome(folder.cycle(run.name), True)

    def _through(self, record: Record) -> None:
        """To the end, or to a word on why not."""
        try:
            self._go_on(record)
        except Nonsense as error:
            self._decided(record, refused(str(error)))
        except (Cancelled, KeyboardInterrupt):
            record.end("cancelled", error="stopped by a person; the last checkpoint is kept")
            raise
        except MaskLoopError as error:
            if record.told("outcome") == "refused":
                raise
            with suppress(OSError):  # the disk that is full may be the one that should remember it
                record.end("failed", error=str(error))
            raise
        except OSError as error:
            words = f"{error.filename or 'the system'}: {error.strerror or error}"
            with suppress(OSError):
                record.end("failed", error=words)
            raise Failed(f"{words}; the served version is untouched") from error

    def _go_on(self, record: Record) -> None:
        policy = self.beginning.policy
        record.note(outcome="", error="", ended_at=0.0, policy=policy.to_json())
        snapshot = self._opened(record)
        if not (first := enough(data_of(snapshot), policy)).accepted:
            self._decided(record, first)
            return
        for _ in range(_TRIES):
            self._make(record)
            candidate, served = scores_of(record.run)
            record.note(stage="gate")
            decision = gate(candidate, served, policy)
            if self._still(record, candidate, served):
                break
        else:
            raise Failed(f"the served version changed {_TRIES} times while the candidate was compared to it")
        self._register(record, decision)
        self._decided(record, decision)
        (record.run / CHECKPOINT).unlink(missing_ok=True)  # three times the weights, and done with

    def _opened(self, record: Record) -> Snapshot:
        """The cycle's own snapshot. One that was edited or removed ends the cycle for good."""
        try:
            return open_snapshot(Plan.read(record.run).snapshot, progress=Told(self.report))
        except BadInput as error:
            self._decided(record, refused(str(error)))
            raise

    def _still(self, record: Record, candidate: Scores, served: Scores) -> bool:
        """Whether the candidate was compared with what is served now; else it is to be compared again."""
        plan = Plan.read(record.run)
        now = served_to(self.beginning.settings, plan.algorithm, plan.project)
        if now is None or now.version in (served.version, candidate.version):
            return True
        self.say(f"{now.version} is served by now: the candidate is compared with that one")
        record.note(served=now.version)
        replace(plan, served=str(now.weights.resolve())).write()
        (record.run / SCORES).unlink()
        return False

    def _make(self, record: Record) -> None:
        """Weights and scores, unless they are there."""
        if (record.run / SCORES).is_file():
            return
        record.note(stage="score" if (record.run / WEIGHTS).is_file() else "train")
        if (free := shutil.disk_usage(record.run).free) < LEAST_FREE:
            raise Failed(
                f"{record.run}: {free // 1024**2} MB are free, a training wants {LEAST_FREE // 1024**2}; "
                "free some space and start again"
            )
        self.work(Plan.read(record.run), self.beginning.settings, self.report)

    def _register(self, record: Record, decision: Decision) -> None:
        version = register(
            Registry(self.beginning.settings.models_dir.resolve()),
            Plan.read(record.run),
            record.run / WEIGHTS,
            digest=record.told("snapshot"),
            started_from=record.told("served"),
            more={"decision": {"accepted": decision.accepted, "reasons": list(decision.reasons)}},
        )
        record.note(candidate=version.version)

    def _decided(self, record: Record, decision: Decision) -> None:
        record.note(
            accepted=decision.accepted, reasons=list(decision.reasons), against=list(decision.against)
        )
        if not decision.accepted:
            record.end("refused")
            return
        record.note(stage="promote")
        if self.beginning.policy.promote == "ask":
            record.end("waiting")
            return
        registry = Registry(self.beginning.settings.models_dir.resolve())
        project = self.beginning.folder.project_id
        registry.promote(record.told("algorithm"), record.told("candidate"), project=project)
        record.end("promoted")


@dataclass(frozen=True)
class Told:
    """Progress bars of others as a report of ours."""

    report: Report

    def __call__(self, items: Iterable[T], *, total: int | None, label: str) -> Iterator[T]:
        for done, item in enumerate(items):
            self.report(done, total or 0, label)
            yield item
