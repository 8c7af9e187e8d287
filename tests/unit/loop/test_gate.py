"""The gate: what accepts, what refuses and with which sentence, and what holds for any two results."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.loop.policy import Policy
from pipelines.loop.gate import Decision, gate, refused
from pipelines.loop.scores import Benchmark, Data, Figure, Scores, nothing_served, table

DATA = Data(6, 2, 3, 1, 120, 38)
NAN = math.nan


def scores(version: str, *values: float, count: int = 10, **more: object) -> Scores:
    """Figures of the classes a, b, ... and their mean."""
    figures = {name: Figure(value, count) for name, value in zip("abcdefgh", values, strict=False)}
    overall = sum(values) / len(values) if values else NAN
    return replace(Scores(version, "miou", overall, figures, DATA), **more)


def against(decision: Decision) -> str:
    assert not decision.accepted
    return " | ".join(decision.against)


def test_a_better_candidate_is_accepted_and_the_reasons_hold_the_numbers() -> None:
    decision = gate(scores("v2", 72.5, 61.0), scores("v1", 70.0, 62.0), Policy())
    assert decision.accepted and not decision.against
    told = " | ".join(decision.reasons)
    assert "to train on: 6 clips of 3 videos; the policy wants 3" in told
    assert "to judge by: 2 held-out clips of 1 video (38 labelled frames); the policy wants 1" in told
    assert "mean IoU over all held-out clips goes from 66.00 to 66.75, a gain of 0.75 points" in told
    assert "the worst class, 'b', loses 1.00 points (62.00 to 61.00, 10 frames)" in told
    assert "forgetting was not measured" in told


@pytest.mark.parametrize(
    ("candidate", "served", "policy", "said"),
    [
        (scores("n", 70.4, 70.4), scores("o", 70, 70), Policy(), "a gain of 0.40 points; the policy wants a"),
        (scores("n", 60, 60), scores("o", 70, 70), Policy(max_class_loss=50), "a loss of 10.00 points"),
        (
            scores("n", 90, 60),
            scores("o", 70, 70),
            Policy(),
            "class 'b' loses 10.00 points (70.00 to 60.00, 10",
        ),
        (
            scores("n", 80, 80),
            scores("o", 70, 70),
            Policy(enough_train=7),
            "to train on: 6 clips of 3 videos",
        ),
        (
            scores("n", 80, 80),
            scores("o", 70, 70),
            Policy(enough_held_out=3),
            "to judge by: 2 held-out clips of 1",
        ),
        (scores("n", NAN, NAN), scores("o", 70, 70), Policy(min_gain=0), "served 70.00, candidate none"),
        (scores("n", 80, 80), scores("o", NAN, NAN), Policy(min_gain=0), "served none, candidate 80.00"),
        (scores("o", 70, 70), scores("o", 70, 70), Policy(min_gain=0), "which is served already"),
        (
            scores("n", 80, 80, 80),
            scores("o", 70, 70),
            Policy(),
            "not scored on the same clips and classes (1 c",
        ),
        (
            scores("n", 80, NAN, overall=80.0),
            scores("o", 70, 70),
            Policy(),
            "class 'b': the candidate's figure is no number (10 frames)",
        ),
    ],
)
def test_each_refusal_has_its_sentence(candidate: Scores, served: Scores, policy: Policy, said: str) -> None:
    assert said in against(gate(candidate, served, policy))


def test_nothing_is_judged_by_no_held_out_clip_whatever_the_policy() -> None:
    empty = Data(9, 0)
    pair = (replace(scores("n", 80), data=empty), replace(scores("o", 10), data=empty))
    assert "to judge by: 0 held-out clips" in against(gate(*pair, Policy(enough_held_out=0, enough_train=0)))


def test_a_class_with_few_frames_counts_in_the_whole_only() -> None:
    pair = scores("n", 95, 60, count=1), scores("o", 70, 70, count=1)
    decision = gate(*pair, Policy(enough_class=2))
    assert decision.accepted
    assert "no class has the 2 labelled frames it takes" in " ".join(decision.reasons)
    assert not gate(*pair, Policy(enough_class=1)).accepted


def test_a_class_that_the_served_version_does_not_know_is_said_and_scores_nothing() -> None:
    served = replace(scores("o", 70, 0), unknown=("b",))
    decision = gate(scores("n", 69, 40), served, Policy())
    assert decision.accepted
    assert "o does not know 'b': 1 class at 0.00 points" in decision.reasons


def test_the_first_version_is_judged_against_nothing() -> None:
    candidate = scores("n", 40, 50)
    decision = gate(candidate, nothing_served(candidate), Policy())
    assert decision.accepted
    assert any("no version is served yet" in reason for reason in decision.reasons)


def test_forgetting_is_shown_and_refused_where_the_policy_says_so() -> None:
    candidate = scores("n", 80, 80, benchmark=Benchmark("drawn clips", 85.0))
    served = scores("o", 70, 70, benchmark=Benchmark("drawn clips", 88.5))
    decision = gate(candidate, served, Policy())
    assert decision.accepted and "(-3.50 points); the policy refuses nothing" in decision.reasons[-1]
    assert "allows a loss of 3" in against(gate(candidate, served, Policy(max_benchmark_loss=3)))
    assert gate(candidate, served, Policy(max_benchmark_loss=3.5)).accepted


def test_a_benchmark_figure_that_is_missing_refuses_only_where_a_loss_could_have() -> None:
    candidate = scores("n", 80, 80, benchmark=Benchmark("drawn clips", NAN))
    served = scores("o", 70, 70, benchmark=Benchmark("drawn clips", 88.5))
    assert gate(candidate, served, Policy()).accepted
    assert "a loss of at most 1 points cannot be shown" in against(
        gate(candidate, served, Policy(max_benchmark_loss=1))
    )


def test_what_could_not_be_scored_is_refused_with_that_sentence() -> None:
    assert refused("loss is nan at step 12") == Decision(False, *[("loss is nan at step 12",)] * 2)


POINTS = st.floats(0, 100) | st.just(NAN)
POLICIES = st.builds(
    Policy,
    min_gain=st.floats(0, 20),
    max_class_loss=st.floats(0, 20),
    enough_class=st.integers(0, 20),
    enough_train=st.integers(0, 10),
    enough_held_out=st.integers(0, 4),
    max_benchmark_loss=st.none() | st.floats(0, 20),
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Scores, Scores]:
    n = draw(st.integers(1, 5))
    counts = [draw(st.integers(0, 20)) for _ in range(n)]

    def one(version: str) -> Scores:
        figures = {name: Figure(draw(POINTS), count) for name, count in zip("abcde", counts, strict=False)}
        bench = draw(st.none() | st.builds(Benchmark, st.just("drawn"), POINTS))
        return Scores(version, "miou", draw(POINTS), figures, DATA, benchmark=bench)

    return one("n"), one("o")


@settings(max_examples=300, deadline=None)
@given(pairs(), POLICIES)
def test_what_is_accepted_keeps_every_promise_of_the_policy(
    pair: tuple[Scores, Scores], policy: Policy
) -> None:
    candidate, served = pair
    decision = gate(candidate, served, policy)
    assert decision.accepted == (not decision.against)
    assert set(decision.against) <= set(decision.reasons)
    assert all(re.search(r"\d|not measured|no change", reason) for reason in decision.reasons)
    assert all(re.search(r"\d", reason) for reason in decision.against)
    if not decision.accepted:
        return
    slack = 0.011  # of two roundings to two digits
    assert candidate.overall - served.overall >= policy.min_gain - slack
    for name, figure in candidate.per_class.items():
        if figure.count >= max(1, policy.enough_class):
            assert math.isfinite(figure.value)
            lost = served.per_class[name].value - figure.value
            assert math.isnan(lost) or lost <= policy.max_class_loss + slack
    assert DATA.train_clips >= policy.enough_train and DATA.held_out_clips >= policy.enough_held_out


@settings(max_examples=150, deadline=None)
@given(pairs(), POLICIES)
def test_a_looser_policy_never_refuses_what_a_stricter_one_accepts(
    pair: tuple[Scores, Scores], policy: Policy
) -> None:
    loose = replace(
        policy,
        min_gain=policy.min_gain / 2,
        max_class_loss=policy.max_class_loss + 1,
        max_benchmark_loss=None,
    )
    if gate(*pair, policy).accepted:
        assert gate(*pair, loose).accepted


@settings(max_examples=150, deadline=None)
@given(pairs(), POLICIES, st.randoms())
def test_the_order_of_classes_does_not_matter_and_nothing_is_changed(
    pair: tuple[Scores, Scores], policy: Policy, random: object
) -> None:
    turned = [replace(one, per_class=dict(reversed(list(one.per_class.items())))) for one in pair]
    assert gate(*turned, policy) == gate(*pair, policy)


@settings(max_examples=100, deadline=None)
@given(pairs())
def test_scores_survive_json(pair: tuple[Scores, Scores]) -> None:
    for one in pair:
        told = json.loads(json.dumps(one.to_json(), allow_nan=False))
        again = Scores.from_json(told)
        assert again.to_json() == told
        assert (again.version, again.data, set(again.per_class)) == (
            one.version,
            one.data,
            set(one.per_class),
        )


def test_the_table_holds_both_and_leaves_gaps_where_there_is_no_figure() -> None:
    candidate = scores("n", 80, NAN, overall=80.0, benchmark=Benchmark("drawn", 50.0))
    served = scores("o", 70, 60, benchmark=Benchmark("drawn", 55.0))
    lines = table(candidate, served).splitlines()
    assert lines[1].split() == ["a", "70.0", "80.0", "+10.0", "10"]
    assert lines[2].split() == ["b", "60.0", "-", "-", "10"]
    assert lines[-1].split() == ["benchmark", "55.0", "50.0", "-5.0"]
