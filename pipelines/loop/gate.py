"""Whether a candidate may be served: a pure function of two results and the project's policy.

Its reasons are sentences with numbers, those that speak for the candidate too. What cannot be judged is said
and, where the judgement would hang on it, refused. Figures are compared as they are printed, to two digits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from backends.loop.policy import Policy
from pipelines.loop.scores import METRICS, Data, Figure, Scores

_DIGITS = 2


@dataclass(frozen=True)
class Decision:
    """``against`` are those of the ``reasons`` that refuse the candidate; without any it is accepted."""

    accepted: bool
    reasons: tuple[str, ...]
    against: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Finding:
    holds: bool
    sentence: str


def gate(candidate: Scores, served: Scores, policy: Policy) -> Decision:
    """The same for the same arguments, whatever the order of classes."""
    findings = [
        *_comparable(candidate, served),
        *_enough(candidate.data, policy),
        *_gain(candidate, served, policy),
        *_classes(candidate, served, policy),
        *_unknown(served),
        *_forgetting(candidate, served, policy),
    ]
    against = tuple(finding.sentence for finding in findings if not finding.holds)
    return Decision(not against, tuple(finding.sentence for finding in findings), against)


def enough(data: Data, policy: Policy) -> Decision:
    """Whether there is enough to train on and to judge by, which can be told before anything is trained."""
    findings = list(_enough(data, policy))
    against = tuple(finding.sentence for finding in findings if not finding.holds)
    return Decision(not against, tuple(finding.sentence for finding in findings), against)


def refused(sentence: str) -> Decision:
    """A candidate that could not even be scored."""
    return Decision(False, (sentence,), (sentence,))


def _comparable(candidate: Scores, served: Scores) -> Iterator[_Finding]:
    if candidate.version == served.version:
        yield _Finding(
            False, f"the candidate is {served.version}, which is served already: 0.00 points gained"
        )
    ours, theirs = set(candidate.per_class), set(served.per_class)
    if (candidate.metric, candidate.data) != (served.metric, served.data) or ours != theirs:
        odd = len(ours ^ theirs)
        yield _Finding(
            False,
            f"the two were not scored on the same clips and classes ({odd} classes differ); score again",
        )


def _enough(data: Data, policy: Policy) -> Iterator[_Finding]:
    videos = f" of {_count(data.train_videos, 'video')}" if data.train_videos else ""
    yield _Finding(
        data.train_clips >= policy.enough_train,
        f"to train on: {_count(data.train_clips, data.unit)}{videos}; the policy wants {policy.enough_train}",
    )
    videos = f" of {_count(data.held_out_videos, 'video')}" if data.held_out_videos else ""
    frames = f" ({_count(data.held_out_frames, 'labelled frame')})" if data.unit == "clip" else ""
    yield _Finding(
        data.held_out_clips >= policy.enough_held_out and data.held_out_clips > 0,
        f"to judge by: {_count(data.held_out_clips, f'held-out {data.unit}')}{videos}{frames}; the policy "
        f"wants {max(1, policy.enough_held_out)}",
    )


def _gain(candidate: Scores, served: Scores, policy: Policy) -> Iterator[_Finding]:
    name = METRICS[candidate.metric]
    if not (math.isfinite(candidate.overall) and math.isfinite(served.overall)):
        yield _Finding(
            False,
            f"{name} over all held-out {candidate.data.unit}s is no number (served {_text(served.overall)}, "
            f"candidate {_text(candidate.overall)}), so a gain of {policy.min_gain:g} points cannot be shown",
        )
        return
    gain = _round(candidate.overall) - _round(served.overall)
    what = "a gain" if gain >= 0 else "a loss"
    yield _Finding(
        _round(gain) >= policy.min_gain,
        f"{name} over all held-out {candidate.data.unit}s goes from {_text(served.overall)} to "
        f"{_text(candidate.overall)}, {what} of {abs(gain):.2f} points; the policy wants a gain of "
        f"{policy.min_gain:g}",
    )


def _classes(candidate: Scores, served: Scores, policy: Policy) -> Iterator[_Finding]:
    judged = sorted(
        name for name, figure in candidate.per_class.items() if figure.count >= max(1, policy.enough_class)
    )
    for name in judged:
        if not math.isfinite(candidate.per_class[name].value):
            yield _Finding(
                False, f"class {name!r}: the candidate's figure is no number ({_on(candidate, name)})"
            )
    losses = {
        name: _round(served.per_class[name].value) - _round(candidate.per_class[name].value)
        for name in judged
        if _has(served.per_class, name) and _has(candidate.per_class, name)
    }
    if not losses:
        yield _Finding(
            True,
            f"no class has the {max(1, policy.enough_class)} labelled frames it takes to be judged by itself",
        )
        return
    too_much = [name for name, loss in losses.items() if _round(loss) > policy.max_class_loss]
    for name in too_much:
        what = f"class {name!r} loses {losses[name]:.2f} points"
        yield _Finding(False, f"{what} {_moved(candidate, served, name)}; {_allowed(policy)}")
    if not too_much:
        worst = max(losses, key=lambda name: losses[name])
        loss = losses[worst]
        what = f"the worst class, {worst!r}, loses {loss:.2f} points"
        if loss <= 0:
            what = f"no class loses: the worst, {worst!r}, gains {abs(loss):.2f} points"
        yield _Finding(True, f"{what} {_moved(candidate, served, worst)}; {_allowed(policy)}")


def _moved(candidate: Scores, served: Scores, name: str) -> str:
    before, after = served.per_class[name].value, candidate.per_class[name].value
    return f"({_text(before)} to {_text(after)}, {_on(candidate, name)})"


def _allowed(policy: Policy) -> str:
    return f"the policy allows a loss of {policy.max_class_loss:g}"


def _unknown(served: Scores) -> Iterator[_Finding]:
    if not served.version:
        yield _Finding(True, "no version is served yet: everything counts as 0.00 points")
    elif served.unknown:
        names = ", ".join(map(repr, served.unknown))
        yield _Finding(
            True,
            f"{served.version} does not know {names}: {_count(len(served.unknown), 'class')} at 0.00 points",
        )


def _forgetting(candidate: Scores, served: Scores, policy: Policy) -> Iterator[_Finding]:
    ours, theirs = candidate.benchmark, served.benchmark
    if ours is None or not ours.name:
        yield _Finding(
            True, f"forgetting was not measured: {ours.note if ours else 'no benchmark was scored'}"
        )
        return
    most = policy.max_benchmark_loss
    if theirs is None or not (math.isfinite(ours.overall) and math.isfinite(theirs.overall)):
        was = f"served {_text(theirs.overall if theirs else math.nan)}, candidate {_text(ours.overall)}"
        holds = most is None or not served.version
        so = "no change to show" if holds else f"a loss of at most {most:g} points cannot be shown"
        yield _Finding(holds, f"benchmark {ours.name!r}: {was}: {so}")
        return
    change = _round(ours.overall) - _round(theirs.overall)
    rule = "the policy refuses nothing for it" if most is None else f"the policy allows a loss of {most:g}"
    yield _Finding(
        most is None or _round(-change) <= most,
        f"on the benchmark {ours.name!r} {METRICS[candidate.metric]} goes from {_text(theirs.overall)} to "
        f"{_text(ours.overall)} ({change:+.2f} points); {rule}",
    )


def _has(figures: Mapping[str, Figure], name: str) -> bool:
    return name in figures and math.isfinite(figures[name].value)


def _on(scores: Scores, name: str) -> str:
    return _count(scores.per_class[name].count, "photo" if scores.data.unit == "photo" else "frame")


def _count(number: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def _round(value: float) -> float:
    return round(value, _DIGITS)


def _text(value: float) -> str:
    return f"{value:.{_DIGITS}f}" if math.isfinite(value) else "none"
